"""`devqubit.testing.pytest_plugin`, and the kit without it, in a pytest of their own."""

from __future__ import annotations

import pytest

import devqubit

pytest_plugins = ["pytester"]

OPT_IN = "pytest_plugins = ['devqubit.testing.pytest_plugin']"
SUITE = """
import os
from pathlib import Path
import pytest
from devqubit.storage import create_store
from devqubit.testing import ObjectStoreConformance

class TestObjectStore(ObjectStoreConformance):
    @pytest.fixture
    def url(self, tmp_path):
        return tmp_path.as_uri()

def test_of_the_author(tmp_path):
    assert "DEVQUBIT_STORAGE_URL" not in os.environ
    with create_store() as store:
        assert os.environ["DEVQUBIT_HOME"] in store.location
    assert list(tmp_path.iterdir()) == []
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The tests of an author, in whose environment there is a store of his own."""
    monkeypatch.setenv("DEVQUBIT_STORAGE_URL", str(pytester.path / "his own"))
    pytester.makepyfile(SUITE)
    return pytester


def test_kit_needs_no_plugin(suite: pytest.Pytester) -> None:
    """The conformance classes keep from the developer's devqubit by themselves."""
    result = suite.runpytest_subprocess("-k", "TestObjectStore", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert (outcomes.get("failed", 0), outcomes.get("errors", 0)) == (0, 0)
    assert outcomes["passed"] > 20
    assert not (suite.path / "his own").exists()


def test_plugin_isolates_all_tests(suite: pytest.Pytester) -> None:
    """With the plugin, tests of the author's own keep from it as well; without, they do not."""
    test = ("-k", "of_the_author")
    suite.runpytest_subprocess(*test).assert_outcomes(failed=1)
    suite.makeconftest(OPT_IN)
    suite.runpytest_subprocess(*test).assert_outcomes(passed=1)


def test_plugin_heads_the_report(suite: pytest.Pytester) -> None:
    """The report says which core and which backends were tested."""
    suite.makeconftest(OPT_IN)
    result = suite.runpytest_subprocess("--collect-only")
    header = f"devqubit-core {devqubit.__version__}: *file:// (devqubit-core *"
    result.stdout.fnmatch_lines([header])


def test_nothing_is_loaded_unasked(pytester: pytest.Pytester) -> None:
    """A pytest that does not ask for the kit imports nothing of devqubit."""
    pytester.makepyfile(
        "import sys\ndef test(): assert [m for m in sys.modules if 'devqubit' in m] == []"
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_failed_assertions_are_explained(pytester: pytest.Pytester) -> None:
    """Where an assertion of the kit fails, the report shows what it compared."""
    pytester.makepyfile(
        """
        import pytest
        from devqubit.testing import PluginConformance

        class TestPlugin(PluginConformance):
            scheme = "file"

            @pytest.fixture(autouse=True)
            def other(self, monkeypatch):
                monkeypatch.setattr("devqubit.testing._plugin.API_VERSION", 17)
        """
    )
    result = pytester.runpytest_subprocess("-k", "test_record")
    result.stdout.fnmatch_lines(["*assert (*, 1) == (*, 17)*"])
