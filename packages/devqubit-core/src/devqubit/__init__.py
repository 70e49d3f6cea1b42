"""devqubit storage: artifacts and run records of quantum experiments, at a URL.

The two calls that users need are in `devqubit.storage`; importing this package
loads nothing else.
"""

__all__ = ["__version__"]

__version__ = "0.2.0"
