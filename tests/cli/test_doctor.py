"""`devqubit doctor`."""

from __future__ import annotations

import json

from tests.cli.command import Workspace


def test_healthy(devqubit: Workspace) -> None:
    """Registry and store are both looked at, and a problem would be exit code 1."""
    rows = devqubit.rows("doctor")
    assert {row[0] for row in rows} == {"registry", "store"}
    assert {row[2] for row in rows} == {"ok"}
    checks = devqubit.json("doctor", str(devqubit.home))
    assert {check["location"] for check in checks} == {devqubit.home.as_uri()}
    assert [check["name"] for check in checks][-1] == "conditions"


def test_problem(devqubit: Workspace, s3_endpoint: str) -> None:
    """A problem is exit code 1, with what to do about it; no secret is shown."""
    devqubit.environment["AWS_SECRET_ACCESS_KEY"] = "CANARY"
    done = devqubit("doctor", f"s3://no-such-bucket?endpoint_url={s3_endpoint}")
    assert done.returncode == 1
    assert b"create it" in done.stdout
    assert b"CANARY" not in done.stdout + done.stderr


def test_two_ways_to_say_where(devqubit: Workspace) -> None:
    """A URL and options are too much."""
    assert devqubit.refused("doctor", "x", "--store", "y")[0] == 2


def test_one_place_that_cannot_be_opened(devqubit: Workspace) -> None:
    """Where the registry's URL is wrong, the store is looked at all the same."""
    devqubit.environment["DEVQUBIT_REGISTRY_URL"] = "s4://my-bucket"
    done = devqubit("doctor", "--json")
    places = {json.loads(line)["place"] for line in done.stdout.splitlines()}
    assert (done.returncode, places) == (2, {"store"})
    assert b"s4" in done.stderr


def test_two_places_that_cannot_be_opened(devqubit: Workspace) -> None:
    """Neither error hides the other."""
    devqubit.environment["DEVQUBIT_REGISTRY_URL"] = "s4://my-bucket"
    devqubit.environment["DEVQUBIT_STORAGE_URL"] = "s5://my-bucket"
    done = devqubit("doctor")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"s4" in done.stderr
    assert b"s5" in done.stderr
