"""The query language: what matches, what is refused and where, and that no text is ever SQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devqubit.errors import QueryParseError
from devqubit.storage import Registry, create_registry
from devqubit.storage._query import Both, Comparison, Either, Exists, Node, Not, Value, parse

INJECTION = "x'; DROP TABLE runs; --"

RUNS: dict[str, dict[str, Any]] = {
    "full": {
        "project": {"name": "ghz"},
        "adapter": "qiskit",
        "created_at": "2026-01-31T12:00:00Z",
        "group_id": "g1",
        "group_name": "Sweep",
        "backend": {"name": "ibm_brisbane"},
        "fingerprints": {"run": "sha256:ab"},
        "info": {"status": "FINISHED", "run_name": "Été", "ended_at": "2026-01-31T15:00:00+02:00"},
        "data": {
            "params": {
                "shots": 4096,
                "theta": 0.5,
                "optimized": True,
                "seed": None,
                "layout": [0, 1],
                "my param": 7,
                "a": {"b": 1, "c d": {"e f": 2}},
            },
            "metrics": {"fidelity": 0.97},
            "tags": {"n": "5", "gate": "NOT", "who": "É. Noether", "empty": "", "bits": "0" * 50},
        },
    },
    "other": {
        "project": {"name": "vqe"},
        "adapter": "cirq",
        "created_at": "2026-02-01T00:00:00Z",
        "info": {"status": "FAILED"},
        "data": {
            "params": {"shots": 100, "theta": "0.50", "optimized": "no"},
            "metrics": {"fidelity": 0.5},
            "tags": {"n": "10", "gate": "and", "who": 'a "quoted" \\ back', "sql": INJECTION},
        },
    },
    "bare": {},
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with the runs above, which nothing changes."""
    folder = tmp_path_factory.mktemp("queries")
    with create_registry(folder, durability="fast", max_staleness=None) as registry:
        for run_id, record in RUNS.items():
            registry.save({"run_id": run_id, **record})
        yield registry


@pytest.fixture(params=[2_000, 0], ids=["looked up", "looked at in each run"])
def _plan(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways that a condition on a field is answered, by how many runs have it."""
    monkeypatch.setattr("devqubit.storage._query_sql._FEW", request.param)


def matches(registry: Registry, query: str) -> str:
    """The runs that match, by id."""
    return " ".join(sorted(run.run_id for run in registry.search_runs(query)))


def condition(name: str) -> Exists:
    """What the word `tag.<name> exists` is."""
    return Exists(f"tag.{name}")


A, B, C = condition("a"), condition("b"), condition("c")


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("", None),
        (" \t\n", None),
        ("A or B and C", Either((A, Both((B, C))))),
        ("A and B or C", Either((Both((A, B)), C))),
        ("(A or B) and C", Both((Either((A, B)), C))),
        ("A and (B or C)", Both((A, Either((B, C))))),
        ("not A and B", Both((Not(A), B))),
        ("not A or B", Either((Not(A), B))),
        ("not (A and B)", Not(Both((A, B)))),
        ("not not A", Not(Not(A))),
        ("A and not B", Both((A, Not(B)))),
        ("A and B and C", Both((A, B, C))),
        ("A or B or C", Either((A, B, C))),
        ("((A))", A),
        ("NOT A AND B oR C", Either((Both((Not(A), B)), C))),
        ("(A)and(B)or(not(C))", Either((Both((A, B)), Not(C)))),
    ],
)
def test_precedence(query: str, tree: Node | None) -> None:
    """`not` binds closest, then `and`, then `or`; parentheses win; keywords have any case."""
    for letter in "ABC":
        query = query.replace(f"{letter})", f"tag.{letter.lower()} exists)")
        query = " ".join(
            f"tag.{word.lower()} exists" if word in ("A", "B", "C") else word
            for word in query.replace(f"({letter} ", f"( {letter} ").split(" ")
        )
    assert parse(query) == tree


@pytest.mark.parametrize(
    ("written", "text", "number"),
    [
        ("abc", "abc", None),
        ('"a b"', "a b", None),
        ("'a b'", "a b", None),
        ('"it\'s"', "it's", None),
        (r'"a \"b\" \\ c"', 'a "b" \\ c', None),
        (r"'it\'s'", "it's", None),
        ('""', "", None),
        ('"and"', "and", None),
        ("AND", "AND", None),
        ("Not", "Not", None),
        ("exists", "exists", None),
        ("a.b:c/d-e,f", "a.b:c/d-e,f", None),
        ("É", "É", None),
        ("5", "5", 5),
        ('"5"', "5", 5),
        ("-5", "-5", -5),
        ("+.5e-3", "+.5e-3", 0.0005),
        ("5.", "5.", 5.0),
        ("1e999", "1e999", float("inf")),
        ("9223372036854775807", "9223372036854775807", 2**63 - 1),
        ("9223372036854775808", "9223372036854775808", 2.0**63),
        ("inf", "inf", None),
        ("nan", "nan", None),
        ("1_000", "1_000", None),
        ("0x10", "0x10", None),
        ("5 ", "5", 5),
        ('"5 "', "5 ", None),
    ],
)
def test_values(written: str, text: str, number: float | None) -> None:
    """A value is the text in its quotes, or the word as it stands, and a number if it is one."""
    assert parse(f"tag.x={written}") == Comparison("tag.x", "=", Value(text, number))


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("project", "project"),
        ("params.shots", "params.shots"),
        ("metric.f", "metric.f"),
        ("metrics.f", "metric.f"),
        ("tag.t", "tag.t"),
        ("tags.t", "tag.t"),
        ("params.a.b", "params.a.b"),
        ('params."my param"', "params.my param"),
        ("params.'my param'", "params.my param"),
        (r'params."a \"b\""', 'params.a "b"'),
        ('params."a.b"', "params.a.b"),
        ('params.a."c d"', "params.a.c d"),
        ('params."my dict"."my param"', "params.my dict.my param"),
        ('params."my dict".x', "params.my dict.x"),
        ("params.and", "params.and"),
        ('params."(>=)"', "params.(>=)"),
        ("params.É", "params.É"),
    ],
)
def test_fields(written: str, field: str) -> None:
    """A field is one word; a part of it that is not plain stands in quotes."""
    assert parse(f"{written} exists") == Exists(field)


@pytest.mark.usefixtures("_plan")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "bare full other"),
        # Numbers, and texts that are numbers.
        ("params.shots = 4096", "full"),
        ("params.shots = 4096.0", "full"),
        ('params.shots = "4096"', "full"),
        ("params.shots != 4096", "other"),
        ("params.shots > 100", "full"),
        ("params.shots >= 100", "full other"),
        ("params.shots < 4096", "other"),
        ("params.shots <= 4096", "full other"),
        ("params.shots > 1e999", ""),
        ("params.shots > -1e999", "full other"),
        ("params.shots ~ 09", "full"),
        ("params.shots = many", ""),
        ("params.shots != many", "full other"),
        ("params.shots < many", ""),
        ("params.theta = 0.5", "full other"),
        ('params.theta = "0.50"', "full other"),
        ("params.theta ~ 0.50", "other"),
        ("tag.n < 10", "full"),
        ("tag.n < 9", "full"),
        ("tag.n >= 10.0", "other"),
        ("tag.n ~ 1", "other"),
        ("tag.n > a", ""),
        ("tag.n < a", "full other"),
        ("metric.fidelity > 0.95", "full"),
        # Booleans, lists, nothing.
        ("params.optimized = true", "full"),
        ("params.optimized != true", "other"),
        ("params.optimized = 1", ""),
        ("params.optimized >= o", "full"),
        ("params.optimized ~ TR", "full"),
        ("params.seed exists", "full"),
        ("params.seed = null", ""),
        ("params.seed != 5", "full"),
        ("params.seed ~ ''", ""),
        ('params.layout = "[0, 1]"', "full"),
        # Texts.
        ("tag.gate = NOT", "full"),
        ("tag.gate = and", "other"),
        ("tag.gate = not", ""),
        ("tag.gate ~ not", "full"),
        ("tag.gate > a", "other"),
        ("tag.gate > 5", ""),
        ("tag.gate != 5", "full other"),
        ("tag.empty = ''", "full"),
        ("tag.empty exists", "full"),
        ("tag.empty != ''", ""),
        ("tag.empty ~ ''", "full"),
        ("tag.who ~ é", "full"),
        ("tag.who ~ 'É. NOETHER'", "full"),
        (r"tag.who ~ '\"QUOTED\" \\'", "other"),
        (f"tag.bits = {'0' * 50}", "full"),
        # Names.
        ("params.a.b = 1", "full"),
        ('params.a."c d"."e f" = 2', "full"),
        ("params.a exists", ""),
        ('params."my param" = 7', "full"),
        # Fields that every run may have.
        ("project = ghz", "full"),
        ("project != ghz", "other"),
        ("project > ghz", "other"),
        ("project >= ghz", "full other"),
        ("project < vqe", "full"),
        ("project <= vqe", "full other"),
        ("project ~ HZ", "full"),
        ("project exists", "full other"),
        ("project = ''", ""),
        ("project != ''", "full other"),
        ("project ~ ''", "full other"),
        ("project < zzz", "full other"),
        ("adapter = cirq", "other"),
        ("adapter ~ ''", "full other"),
        ("status = RUNNING", "bare"),
        ("status = FAILED or status = RUNNING", "bare other"),
        ("backend ~ BRISBANE", "full"),
        ("backend exists", "full"),
        ("backend != aer", "full"),
        ("fingerprint = sha256:ab", "full"),
        ("name = Été", "full"),
        ("name ~ éTÉ", "full"),
        ("name ~ ''", "full"),
        ("group = g1", "full"),
        ("group = Sweep", "full"),
        ("group != g1", ""),
        ("group != g2", "full"),
        ("group ~ sweep", "full"),
        ("group exists", "full"),
        # Times.
        ("created_at = 2026-01-31T12:00:00Z", "full"),
        ("created_at = 2026-01-31T13:00:00+01:00", "full"),
        ("created_at = 2026-01-31T12:00:00", "full"),
        ("created_at != 2026-01-31T12:00:00Z", "other"),
        ("created_at > 2026-01-31", "full other"),
        ("created_at > '2026-01-31 12:00:00'", "other"),
        ("created_at >= 2026-02-01", "other"),
        ("created_at < 2026-02-01", "full"),
        ("created_at <= 2026-02-01", "full other"),
        ("created_at ~ 2026-01", "full"),
        ("created_at ~ ''", "full other"),
        ("created_at exists", "full other"),
        ("ended_at = 2026-01-31T13:00:00Z", "full"),
        ("ended_at < 2026-01-31T14:00:00Z", "full"),
        ("ended_at != 2020-01-01", "full"),
        ("ended_at exists", "full"),
        # A condition on a field that a run does not have is false, and `not` makes it true.
        ("params.unknown = 1", ""),
        ("params.unknown != 1", ""),
        ("params.unknown ~ ''", ""),
        ("params.unknown exists", ""),
        ("not params.unknown = 1", "bare full other"),
        ("not params.shots > 100", "bare other"),
        ("not project = ghz", "bare other"),
        ("not ended_at < 2026-01-31T14:00:00Z", "bare other"),
        ("not (params.shots > 100 or tag.n = 10)", "bare"),
        ("not group != g1", "bare full other"),
    ],
)
def test_what_matches(registry: Registry, query: str, found: str) -> None:
    """Every operator means on every kind of field what the documentation says."""
    assert matches(registry, query) == found


@pytest.mark.parametrize("value", ["٥", "1٥", "²", "１"])
def test_digits_of_other_scripts_are_text(tmp_path: Path, value: str) -> None:
    """A text finds itself, also where Python would take it for a number."""
    with create_registry(tmp_path, durability="fast") as registry:
        registry.save({"run_id": "r", "data": {"tags": {"t": value}}})
        assert matches(registry, f"tag.t = {value}") == "r"


@pytest.mark.parametrize("length", [20, 21, 150, 151, 4_000])
def test_long_digits_find_themselves(tmp_path: Path, length: int) -> None:
    """A text of digits, such as a bit string, finds itself, however long."""
    with create_registry(tmp_path, durability="fast") as registry:
        registry.save({"run_id": "r", "data": {"tags": {"bits": "01" * length}}})
        assert matches(registry, f"tag.bits = {'01' * length}") == "r"


@pytest.mark.parametrize(
    ("text", "part"),
    [("ÉTÉ", "été"), ("Straße", "STRASSE"), ("STRASSE", "straße"), ("ΣΊΣΥΦΟΣ", "σίσυφος")],
)
def test_any_case(tmp_path: Path, text: str, part: str) -> None:
    """`~` knows the cases of every script, whichever of the two texts has them."""
    with create_registry(tmp_path, durability="fast") as registry:
        registry.save({"run_id": "r", "data": {"tags": {"t": text}}})
        assert matches(registry, f"tag.t ~ {part}") == "r"


VALUE = "expected a value"
OPERATOR = "expected an operator (= != > >= < <= ~) or 'exists'"
FIELD = "expected a field, 'not' or '('"
MORE = "expected 'and', 'or' or the end"
TIME = "expected a time in ISO 8601"


@pytest.mark.parametrize(
    ("query", "position", "expected"),
    [
        ("params.x = ", 11, f"{VALUE}, found the end"),
        ("params.x = = 5", 11, f"{VALUE}, found '='"),
        ("params.x = (5)", 11, f"{VALUE}, found '('"),
        ("params.x == 5", 10, VALUE),
        ("params.x", 8, f"{OPERATOR}, found the end"),
        ("params.x 5", 9, f"{OPERATOR}, found '5'"),
        ("params.x (5)", 9, f"{OPERATOR}, found '('"),
        ("params.x and tag.y = 1", 9, f"{OPERATOR}, found 'and'"),
        ("params.my param = 5", 10, f"{OPERATOR}, found 'param'"),
        ("= 5", 0, f"{FIELD}, found '='"),
        ("'a' = 5", 0, FIELD),
        ("and tag.y = 1", 0, f"{FIELD}, found 'and'"),
        ("tag.y = 1 and", 13, f"{FIELD}, found the end"),
        ("tag.y = 1 or or tag.y = 2", 13, f"{FIELD}, found 'or'"),
        ("not", 3, f"{FIELD}, found the end"),
        ("()", 1, f"{FIELD}, found ')'"),
        ("tag.y = 1 tag.z = 2", 10, f"{MORE}, found 'tag.z'"),
        ("tag.y = 1)", 9, f"{MORE}, found ')'"),
        ("tag.y exists = 5", 13, MORE),
        ("(tag.y = 1", 10, "expected 'and', 'or' or ')', found the end"),
        ("(tag.y = 1 (", 11, "expected 'and', 'or' or ')', found '('"),
        ("created_at > yesterday", 13, f"{TIME}, such as 2026-01-31T12:00:00Z, found 'yesterday'"),
        ("ended_at = ''", 11, TIME),
        ("created_at = 2026-13-01", 13, TIME),
        ("shots = 5", 0, "There is no field 'shots'; there are params.*, metric.*, tag.*, adapter"),
        ("tag.y = 1 and param.x = 5", 14, "There is no field 'param.x'"),
        ("params = 5", 0, "There is no field 'params'"),
        ("params. = 5", 0, "There is no field 'params.'"),
        ("Project = 5", 0, "There is no field 'Project'"),
        ("tag.y = 'abc", 8, "a quote that is not closed"),
        ('  tag.y = "abc\\"', 10, "a quote that is not closed"),
        ("tag.y ! 5", 6, "'!' cannot stand here"),
        ("tag.y = 1;", 0, None),
        ("(" * 51 + "tag.y = 1" + ")" * 51, 51, "more than 50 levels of 'not' and '('"),
        ("not " * 51 + "tag.y = 1", 204, "more than 50 levels of 'not' and '('"),
    ],
)
def test_what_is_wrong_and_where(
    registry: Registry, query: str, position: int, expected: str | None
) -> None:
    """A query that is wrong is refused, with the position and what was expected there."""
    if expected is None:
        assert matches(registry, query) == ""
        return
    with pytest.raises(QueryParseError) as caught:
        registry.search_runs(query)
    message = str(caught.value)
    assert message.startswith(f"Position {position}: ")
    assert expected in message


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (" or ".join(["tag.y = 1"] * 201), "more than 200 conditions"),
        ("tag.y = " + "x" * 9_993, "more than 10,000 characters"),
    ],
)
def test_too_large(registry: Registry, query: str, why: str) -> None:
    """A query beyond a limit is refused, with the limit."""
    with pytest.raises(QueryParseError, match=why):
        registry.search_runs(query)


@pytest.mark.parametrize("word", [" and ", " or "])
@pytest.mark.parametrize(
    "one",
    ["tag.n = 5", "not group != x", "name ~ é", "(created_at > 2020-01-01 and tag.n exists)"],
)
@pytest.mark.usefixtures("_plan")
def test_as_large_as_allowed(registry: Registry, one: str, word: str) -> None:
    """A query within the limits is answered."""
    query = word.join([one] * (100 if " and " in one else 200))
    assert matches(registry, query) == matches(registry, one)
    assert matches(registry, "not (" * 24 + query + ")" * 24) == matches(registry, one)


def test_as_deep_as_allowed(registry: Registry) -> None:
    """Fifty levels are answered."""
    assert matches(registry, "(" * 50 + "tag.n = 5" + ")" * 50) == "full"
    assert matches(registry, "not " * 50 + "tag.n = 5") == "full"


@pytest.mark.parametrize(
    ("sort_by", "descending", "order"),
    [
        (None, True, "other full bare"),
        (None, False, "full other bare"),
        ("created_at", False, "full other bare"),
        ("ended_at", True, "full other bare"),
        ("params.shots", True, "full other bare"),
        ("params.shots", False, "other full bare"),
        ("metrics.fidelity", False, "other full bare"),
        ("tag.n", True, "other full bare"),
        ("tag.gate", False, "full other bare"),
        ('params."my param"', True, "full other bare"),
        ("params.unknown", True, "other full bare"),
        ("project", False, "full other bare"),
        ("project", True, "other full bare"),
        ("name", False, "full other bare"),
    ],
)
def test_order(registry: Registry, sort_by: str | None, descending: bool, order: str) -> None:
    """Runs without the field come last in both directions, newest first."""
    found = registry.search_runs("", sort_by=sort_by, descending=descending)
    assert " ".join(run.run_id for run in found) == order


@pytest.mark.parametrize("query", ["", "params.x = 5", "params.x <= 5", "params.x exists"])
def test_equal_numbers_are_ties(tmp_path: Path, query: str) -> None:
    """Runs of one number come newest first, however each wrote it, and whatever was asked."""
    with create_registry(tmp_path, durability="fast") as registry:
        for day, value in enumerate(["5", 5, "5.0", 5.0], 1):
            record = {"created_at": f"2026-01-0{day}", "data": {"params": {"x": value}}}
            registry.save({"run_id": f"{day}", **record})
        for descending in (True, False):
            found = registry.search_runs(query, sort_by="params.x", descending=descending)
            assert " ".join(run.run_id for run in found) == "4 3 2 1"


@pytest.mark.parametrize("sort_by", ["shots", "params", "params.", "created_at; DROP TABLE runs"])
def test_no_such_order(registry: Registry, sort_by: str) -> None:
    """To sort by what is no field is refused, with the fields that there are."""
    with pytest.raises(QueryParseError, match="there are params"):
        registry.search_runs("", sort_by=sort_by)


FRAGMENTS = [
    *("and", "or", "not", "exists", "(", ")", "=", "!=", ">", ">=", "<", "<=", "~", "!", ","),
    *("params.x", "params.shots", "metric.fidelity", "tag.who", "project", "created_at", "group"),
    *('params."', "tag.'", 'tag."a b"', "params..", ".", '"', "'", "\\", '\\"', "''", '"abc"'),
    *("5", "-1", "1e999", "-1e999", "9" * 400, "1e-9999", "2026-01-31", "0001-01-01T00:00+23:59"),
    *("\0", "\ud800", "é", "\u2028", "\x1c", "٥", "²", "ß", "%", "_", "?", "?1", ":a", "@a", "$a"),
    *(INJECTION, "'; DELETE FROM runs; --", "/* */", "1 OR 1=1", "UNION SELECT 1", "NULL", "x'00'"),
]
words = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=25)
texts = (
    st.text(st.characters(codec=None), max_size=60)
    | words.map(" ".join)
    | words.map("".join)
    | st.builds(lambda text, count: text * count, st.sampled_from(FRAGMENTS), st.integers(2, 3_000))
)


def answers_or_refuses(registry: Registry, query: str, sort_by: str | None = None) -> None:
    """Asks, and accepts an answer, or the one error that says the query is wrong."""
    try:
        found = registry.search_runs(query, sort_by=sort_by)
    except QueryParseError:
        return
    assert {run.run_id for run in found} <= RUNS.keys()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=texts, sort_by=st.none() | texts)
@example("tag.x = '\ud800\0'", "tag.\ud800\0")
@example("tag.x ~ \ud800é", 'params."\0"')
@example("params.x > " + "9" * 5_000, "params." + "9" * 5_000)
@example("not " * 2_500, "'" * 10_000)
@example("(" * 10_000, "." * 10_000)
def test_no_text_breaks_it(registry: Registry, query: str, sort_by: str | None) -> None:
    """Any text is answered or refused as a query, and nothing of the index changes."""
    answers_or_refuses(registry, query, sort_by)
    assert registry.count_runs() == len(RUNS)


@settings(max_examples=200)
@given(
    st.sampled_from(["tag.who", "params.x", "project", "group", 'tag."a b"']),
    st.sampled_from(["=", "!=", ">", ">=", "<", "<=", "~"]),
    st.text(st.characters(codec=None), max_size=30) | st.sampled_from(FRAGMENTS),
)
def test_any_text_can_be_quoted(registry: Registry, field: str, operator: str, text: str) -> None:
    """In quotes, with quotes and backslashes escaped, any text is a value."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    registry.search_runs(f"{field} {operator} '{escaped}'")


@pytest.mark.parametrize("quote", ['"', "\\'"])
@pytest.mark.usefixtures("_plan")
def test_sql_is_a_value_like_any(registry: Registry, quote: str) -> None:
    """A literal that holds SQL matches the run that holds that literal, and is never run."""
    escaped = INJECTION.replace("'", "\\'")
    assert matches(registry, f"tag.sql = '{escaped}'") == "other"
    assert matches(registry, f"tag.sql ~ '{escaped}'") == "other"
    assert matches(registry, f"project = '{escaped}'") == ""
    assert matches(registry, f"params.'{escaped}' exists") == ""
    assert matches(registry, f"tag.sql = '{quote} OR 1=1 --'") == ""
    assert matches(registry, "") == "bare full other"


@pytest.mark.parametrize("query", ['."' * 4_900, "params.x = '" + "\\" * 9_900, 'a."' * 3_300])
def test_reading_takes_no_time(registry: Registry, query: str) -> None:
    """A query is read or refused in time that grows with its length and no faster."""
    began = time.monotonic()
    answers_or_refuses(registry, query)
    assert time.monotonic() - began < 1
