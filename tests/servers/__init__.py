"""Servers that the tests talk to, where no package has one that is right."""
