"""What a plugin declares: in its distribution's metadata, and in its record."""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import ClassVar

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from devqubit.errors import InvalidOptionError, InvalidURLError
from devqubit.plugin import API_VERSION, StorageBackend, open_bucket, register_plugin
from devqubit.storage import available_backends
from devqubit.storage._options import merge_options
from devqubit.storage._plugins import ENTRY_POINT_GROUP, plugins
from devqubit.testing._base import Isolated
from devqubit.testing._children import in_processes

__all__ = ["PluginConformance"]

SECRET = "canary-of-the-conformance-kit"  # noqa: S105  # none, but it must not be repeated


class PluginConformance(Isolated):
    """The backend of a scheme, as it is installed.

    What is registered in the process, or built in, has no distribution: what a
    distribution declares is then skipped.

    Attributes:
        scheme: The scheme to test; a subclass must give it.
        sdk_modules: Modules that the plugin may import only when a URL is opened, beside
            those that its record names as `sdk`.
    """

    scheme: ClassVar[str]
    sdk_modules: ClassVar[tuple[str, ...]] = ()

    def test_one_entry_point(self) -> None:
        """One installed distribution serves the scheme, and it has a name and a version."""
        point = _entry_point(self.scheme)
        assert point.dist is not None
        assert (point.dist.name, point.dist.version) != ("", "")

    def test_entry_points_are_the_schemes(self) -> None:
        """The distribution's entry points are named like the schemes of its record."""
        point = _entry_point(self.scheme)
        assert point.dist is not None
        own = {p.name for p in point.dist.entry_points if p.group == ENTRY_POINT_GROUP}
        assert set(_record(self.scheme).schemes) <= own

    def test_import_loads_no_sdk(self) -> None:
        """Importing the plugin, and calling its hook, loads no SDK: only opening a URL does."""
        point = _entry_point(self.scheme)
        (answer,) = in_processes(loaded_in_child, [(point.name, point.value)])
        sdk = {*self.sdk_modules, *_record(self.scheme).sdk}
        assert [m for m in json.loads(answer) for s in sdk if f"{m}.".startswith(f"{s}.")] == []

    def test_depends_on_a_range_of_core(self) -> None:
        """The distribution asks for devqubit-core from one version up to another."""
        point = _entry_point(self.scheme)
        assert point.dist is not None
        requirements = map(Requirement, point.dist.requires or ())
        core = [requirement for requirement in requirements if _asks_for_core(requirement)]
        assert core != []
        assert [str(requirement) for requirement in core if not _is_range(requirement)] == []

    def test_record(self) -> None:
        """The hook returns a record for this plugin interface that claims the scheme."""
        record = _record(self.scheme)
        assert isinstance(record, StorageBackend)
        assert (type(record.api_version), record.api_version) == (int, API_VERSION)
        assert self.scheme in record.schemes

    def test_schemes(self) -> None:
        """Schemes are lower case, of two letters and more, each once."""
        schemes = _record(self.scheme).schemes
        odd = [s for s in schemes if not re.fullmatch(r"[a-z][a-z0-9+.-]+", s)]
        assert (odd, len(set(schemes))) == ([], len(schemes))

    def test_summary(self) -> None:
        """It says in a line what it is."""
        assert re.fullmatch(r"\S.*", _record(self.scheme).summary)

    def test_parameters_are_explained(self) -> None:
        """Each URL parameter has a name of its own, a line of help, and an example."""
        parameters = _record(self.scheme).parameters
        names = [parameter.name for parameter in parameters]
        assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []
        assert len(set(names)) == len(names)
        assert [p.name for p in parameters if not re.fullmatch(r"\S.*", p.help)] == []
        assert [p.name for p in parameters if not p.example] == []

    def test_examples_are_accepted(self) -> None:
        """The example of each parameter is a value that the parameter takes."""
        parameters = _record(self.scheme).parameters
        given = {parameter.name: parameter.example for parameter in parameters}
        assert set(merge_options(self.scheme, parameters, given, {})) == set(given)

    def test_unknown_parameter(self) -> None:
        """A parameter that it does not take is refused, and those that it takes are listed."""
        url = _example(self.scheme)
        with pytest.raises(InvalidOptionError) as caught:
            open_bucket(f"{url}{'&' if '?' in url else '?'}no_such_parameter={SECRET}")
        message = str(caught.value)
        accepted = [parameter.name for parameter in _record(self.scheme).parameters]
        assert [name for name in ["no_such_parameter", *accepted] if name not in message] == []
        assert SECRET not in message

    def test_password_in_url(self) -> None:
        """A URL with a user name and password is refused, and the password not repeated."""
        with pytest.raises(InvalidURLError) as caught:
            open_bucket(_example(self.scheme).replace("://", f"://user:{SECRET}@", 1))
        assert SECRET not in str(caught.value)


def loaded_in_child(name: str, value: str) -> str:
    """In a child: loads a plugin and calls its hook; the modules that this imported."""
    before = set(sys.modules)
    register_plugin(EntryPoint(name, value, ENTRY_POINT_GROUP).load())
    return json.dumps(sorted(set(sys.modules) - before))


def _asks_for_core(requirement: Requirement) -> bool:
    """Whether it asks for devqubit-core, here and without extras, such as one for tests."""
    core = canonicalize_name(requirement.name) == "devqubit-core"
    return core and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))


def _is_range(requirement: Requirement) -> bool:
    operators = {specifier.operator for specifier in requirement.specifier}
    return not operators.isdisjoint({">=", ">", "~="}) and not operators.isdisjoint(
        {"<=", "<", "~="}
    )


def _record(scheme: str) -> StorageBackend:
    return plugins.resolve(scheme).backend


def _example(scheme: str) -> str:
    return _record(scheme).example or f"{scheme}://my-bucket/prefix"


def _entry_point(scheme: str) -> EntryPoint:
    """The one entry point of a scheme; skips what no distribution declares."""
    where = [backend.where for backend in available_backends(scheme)]
    if where in (["built in"], ["registered"]):
        pytest.skip(f"{scheme}:// is {where[0]}: no distribution declares it")
    (point,) = entry_points(group=ENTRY_POINT_GROUP, name=scheme)
    return point
