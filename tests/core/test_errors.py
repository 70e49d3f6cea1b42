"""Errors: caught as one, told apart, and whole in another process."""

from __future__ import annotations

import pickle

import pytest

from devqubit import errors

TWO_ARGUMENTS = {errors.BlobNotFoundError, errors.IntegrityError}
ALL = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", ALL)
def test_survives_pickling(kind: type[errors.DevQubitError]) -> None:
    """An error crosses process boundaries with its message and attributes."""
    error = kind("a", "b") if kind in TWO_ARGUMENTS else kind("a")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


def test_typed_values_are_value_errors() -> None:
    """What devqubit 0.1.12 raised as ValueError still is one."""
    for kind in (errors.InvalidDigestError, errors.InvalidRecordError, errors.InvalidNameError):
        assert issubclass(kind, ValueError)
