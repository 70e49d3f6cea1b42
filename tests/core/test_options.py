"""Options of a backend: merged, checked, converted, and never shown."""

from __future__ import annotations

import pytest

from devqubit.errors import InvalidOptionError
from devqubit.plugin import SERVER_ADDRESS, Option, Parameter
from devqubit.storage._options import merge_options

ACCEPTED = (
    Parameter(name="region", type=str, help=""),
    Parameter(name="anonymous", type=bool, help=""),
    Parameter(name="max_attempts", type=int, help="", minimum=1, example="5"),
    Parameter(name="timeout", type=float, help="", minimum=0.1),
    Parameter(name="mode", type=str, help="", choices=("a", "b")),
    Parameter(name="endpoint_url", type=str, help="", example="http://h:1", pattern=SERVER_ADDRESS),
)

ADDRESSES = [
    "http://h",
    "https://s3.lab.example/",
    "http://127.0.0.1:9000/base",
    "http://[::1]:9000",
    "http://servers_of-the.lab:1",
]
NO_ADDRESSES = [
    "hunter2",
    "h:9000",
    "ftp://hunter2",
    "http://",
    "http:///hunter2",
    "http://h:port",
    "http://h:9000?x=hunter2",
    "http://h#hunter2",
    "http://h /hunter2",
    "http://h\n",
    "key:hunter2@h:1",
]


@pytest.mark.parametrize(
    ("given", "converted"),
    [
        ({"region": "eu"}, {"region": "eu"}),
        ({"anonymous": "true"}, {"anonymous": True}),
        ({"anonymous": "No"}, {"anonymous": False}),
        ({"max_attempts": "7"}, {"max_attempts": 7}),
        ({"timeout": "2.5"}, {"timeout": 2.5}),
        ({"mode": "b"}, {"mode": "b"}),
        *(({"endpoint_url": good}, {"endpoint_url": good}) for good in ADDRESSES),
    ],
)
def test_text_of_a_url_is_converted(given: dict[str, str], converted: dict[str, Option]) -> None:
    """Parameters of a URL get the type that the backend declared."""
    assert merge_options("s3", ACCEPTED, given, {}) == converted


def test_keywords_win() -> None:
    """A keyword replaces the URL's parameter; None leaves it."""
    merged = merge_options(
        "s3",
        ACCEPTED,
        {"region": "url", "max_attempts": "2", "mode": "a"},
        {"region": "keyword", "max_attempts": 3, "timeout": 4, "mode": None},
    )
    assert merged == {"region": "keyword", "max_attempts": 3, "timeout": 4.0, "mode": "a"}


def test_unknown_option_lists_the_accepted() -> None:
    """A misspelt option is named, with those that there are."""
    with pytest.raises(InvalidOptionError, match=r"'regoin'.*anonymous, .*region") as caught:
        merge_options("s3", ACCEPTED, {"regoin": "hunter2"}, {})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("anonymous", "maybe", "true or false"),
        ("anonymous", 1, "true or false"),
        ("max_attempts", "many", r"a whole number.*example: 5"),
        ("max_attempts", 2.5, "a whole number"),
        ("max_attempts", True, "a whole number"),
        ("max_attempts", 0, "at least 1"),
        ("timeout", "nan", "at least 0.1"),
        ("timeout", "soon", "a number"),
        ("region", 5, "non-empty text"),
        ("region", "", "non-empty text"),
        ("mode", "c", "one of: a, b"),
        ("endpoint_url", "http://key:hunter2@host", "user name or password"),
        *(("endpoint_url", bad, "must look like http://h:1$") for bad in NO_ADDRESSES),
    ],
)
def test_bad_values(name: str, value: object, expected: str) -> None:
    """A value of the wrong type, range or choice is refused, and text is not repeated."""
    with pytest.raises(InvalidOptionError, match=f"{name!r}.*{expected}") as caught:
        merge_options("s3", ACCEPTED, {}, {name: value})
    assert "hunter2" not in str(caught.value)
