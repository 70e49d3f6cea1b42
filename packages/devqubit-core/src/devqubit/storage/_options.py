"""Options of a backend: URL parameters and keywords, merged, checked and converted."""

from __future__ import annotations

import re
from collections.abc import Mapping

from devqubit.errors import InvalidOptionError
from devqubit.storage._backend import Option, Parameter
from devqubit.storage._url import has_credentials

__all__ = ["merge_options"]

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def merge_options(
    scheme: str,
    accepted: tuple[Parameter, ...],
    parameters: Mapping[str, str],
    keywords: Mapping[str, object],
) -> dict[str, Option]:
    """The options to open a URL with.

    Args:
        scheme: For messages.
        accepted: What the backend takes.
        parameters: From the URL.
        keywords: From the call; they win. None counts as not given.

    Raises:
        InvalidOptionError: An option the backend does not take, or a value it cannot
            have. The message names the option and never repeats a text value, which
            may be a secret.
    """
    given = {**parameters, **{k: v for k, v in keywords.items() if v is not None}}
    by_name = {parameter.name: parameter for parameter in accepted}
    for name in given:
        if name not in by_name:
            names = ", ".join(sorted(by_name)) or "none"
            raise InvalidOptionError(f"{scheme}:// takes no option {name!r}; it takes: {names}")
    return {name: _value(by_name[name], value) for name, value in given.items()}


def _value(parameter: Parameter, value: object) -> Option:
    converted = _convert(parameter, value)
    if isinstance(converted, str) and has_credentials(converted):
        raise InvalidOptionError(
            f"Option {parameter.name!r} is a URL with a user name or password: leave it out"
        )
    if parameter.pattern and not re.fullmatch(parameter.pattern, str(converted)):
        raise InvalidOptionError(f"Option {parameter.name!r} must look like {parameter.example}")
    if parameter.choices and converted not in parameter.choices:
        allowed = ", ".join(parameter.choices)
        raise InvalidOptionError(f"Option {parameter.name!r} must be one of: {allowed}")
    if (
        parameter.minimum is not None
        and not isinstance(converted, str)
        and not converted >= parameter.minimum
    ):
        raise InvalidOptionError(
            f"Option {parameter.name!r} must be at least {parameter.minimum:g}, not {converted}"
        )
    return converted


def _convert(parameter: Parameter, value: object) -> Option:
    wanted = parameter.type
    if wanted is bool and isinstance(value, str) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
    if wanted in (int, float) and isinstance(value, (str, int)) and not isinstance(value, bool):
        try:
            return wanted(value)
        except ValueError:
            pass
    elif type(value) is wanted and value != "":  # an unset shell variable gives empty text
        return value
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "non-empty text"}
    raise InvalidOptionError(
        f"Option {parameter.name!r} must be {names[wanted]}, not this {type(value).__name__}"
        + (f" (example: {parameter.example})" if parameter.example else "")
    )
