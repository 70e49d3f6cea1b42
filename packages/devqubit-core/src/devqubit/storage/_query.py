"""The query language of `Registry.search_runs`: from text to a tree.

```
query      = either, or nothing for every run
either     = both, {"or", both}
both       = one, {"and", one}
one        = "not", one | "(", either, ")" | field, (operator, value | "exists")
operator   = "=" | "!=" | ">" | ">=" | "<" | "<=" | "~"
```
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from devqubit.errors import QueryParseError
from devqubit.storage._rows import instant, number_of

__all__ = ["Both", "Comparison", "Either", "Exists", "Node", "Not", "Value", "parse", "parse_field"]

# Enough for any question, and far from the limits of SQLite.
_MAX_LENGTH: Final = 10_000
_MAX_DEPTH: Final = 50
_MAX_CONDITIONS: Final = 200

PLAIN_FIELDS: Final = (
    "adapter",
    "backend",
    "created_at",
    "ended_at",
    "fingerprint",
    "group",
    "name",
    "project",
    "status",
)
MOMENTS: Final = frozenset({"created_at", "ended_at"})
_GROUPS: Final = {
    "params": "params",
    "metric": "metric",
    "metrics": "metric",
    "tag": "tag",
    "tags": "tag",
}
_KEYWORDS: Final = frozenset({"and", "or", "not", "exists"})
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<symbol>[()]|!=|>=|<=|[=<>~])
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>(?:[^\s()=<>~!"']|(?<=\.)"(?:[^"\\]|\\.)*"|(?<=\.)'(?:[^'\\]|\\.)*')+)
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(r"""\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'""", re.DOTALL)


@dataclass(frozen=True)
class Value:
    """What a field is compared with: always text, and a number where it is one."""

    text: str
    number: int | float | None


@dataclass(frozen=True)
class Comparison:
    """`field operator value`. False where the run has no such field."""

    field: str
    operator: str
    value: Value


@dataclass(frozen=True)
class Exists:
    """`field exists`."""

    field: str


@dataclass(frozen=True)
class Not:
    """Whatever its inner node is not."""

    inner: Node


@dataclass(frozen=True)
class Both:
    """Every one of its parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Either:
    """Any of its parts."""

    parts: tuple[Node, ...]


Node = Comparison | Exists | Not | Both | Either


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int

    @property
    def word(self) -> str:
        """The text as a keyword is compared."""
        return self.text.lower()


def parse(query: str) -> Node | None:
    """Reads a query.

    Args:
        query: In the language above.

    Returns:
        Its tree, or None for an empty query, which every run matches.

    Raises:
        QueryParseError: At which position, and what was expected there.
    """
    if len(query) > _MAX_LENGTH:
        raise QueryParseError(f"The query has more than {_MAX_LENGTH:,} characters")
    return _Parser(_tokens(query)).whole()


def parse_field(text: str) -> str:
    """A field's name as the index has it: `metrics.f` is `metric.f`.

    Raises:
        QueryParseError: There is no such field.
    """
    group, dot, rest = text.partition(".")
    if dot and group in _GROUPS and rest:
        return f"{_GROUPS[group]}.{_QUOTED.sub(lambda part: _unquoted(part[0]), rest)}"
    if text in PLAIN_FIELDS:
        return text
    fields = ", ".join(("params.*", "metric.*", "tag.*", *PLAIN_FIELDS))
    raise QueryParseError(f"There is no field {text!r}; there are {fields}")


def _tokens(query: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(query, position)
        if match is None:
            start = position + len(query[position:]) - len(query[position:].lstrip())
            what = "a quote that is not closed" if query[start] in "\"'" else repr(query[start])
            raise QueryParseError(f"Position {start}: {what} cannot stand here")
        kind = str(match.lastgroup)
        text = match[kind]
        if kind == "word" and text.lower() in _KEYWORDS:
            kind = "keyword"
        tokens.append(_Token(kind, text, match.start(str(match.lastgroup))))
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._conditions = 0

    def whole(self) -> Node | None:
        if self._here.kind == "end":
            return None
        node = self._either(0)
        if self._here.kind != "end":
            raise self._expected("'and', 'or' or the end")
        return node

    def _either(self, depth: int) -> Node:
        parts = [self._both(depth)]
        while self._take("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self, depth: int) -> Node:
        parts = [self._one(depth)]
        while self._take("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _one(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise QueryParseError(
                f"Position {self._here.position}: more than {_MAX_DEPTH} levels of 'not' and '('"
            )
        if self._take("not"):
            return Not(self._one(depth + 1))
        if self._take("("):
            node = self._either(depth + 1)
            if not self._take(")"):
                raise self._expected("'and', 'or' or ')'")
            return node
        return self._condition()

    def _condition(self) -> Node:
        self._conditions += 1
        if self._conditions > _MAX_CONDITIONS:
            raise QueryParseError(f"The query has more than {_MAX_CONDITIONS} conditions")
        token = self._next("word", "a field, 'not' or '('")
        try:
            field = parse_field(token.text)
        except QueryParseError as exc:
            raise QueryParseError(f"Position {token.position}: {exc}") from None
        if self._take("exists"):
            return Exists(field)
        operator = self._next("symbol", "an operator (= != > >= < <= ~) or 'exists'")
        if operator.text in "()":
            self._at -= 1
            raise self._expected("an operator (= != > >= < <= ~) or 'exists'")
        value = self._value(moment=field in MOMENTS and operator.text != "~")
        return Comparison(field, operator.text, value)

    def _value(self, *, moment: bool) -> Value:
        token = self._here
        if token.kind not in ("word", "text", "keyword"):
            raise self._expected("a value")
        if moment and instant(_unquoted(token.text)) is None:
            raise self._expected("a time in ISO 8601, such as 2026-01-31T12:00:00Z")
        self._at += 1
        text = _unquoted(token.text)
        return Value(text, number_of(text))

    @property
    def _here(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, text: str) -> bool:
        taken = self._here.kind in ("symbol", "keyword") and self._here.word == text
        self._at += taken
        return taken

    def _next(self, kind: str, expected: str) -> _Token:
        if self._here.kind != kind:
            raise self._expected(expected)
        self._at += 1
        return self._tokens[self._at - 1]

    def _expected(self, what: str) -> QueryParseError:
        found = repr(self._here.text) if self._here.text else "the end"
        return QueryParseError(f"Position {self._here.position}: expected {what}, found {found}")


def _unquoted(text: str) -> str:
    if text[:1] in ("'", '"') and text[-1:] == text[:1] and len(text) > 1:
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return text
