"""Places that somebody filled with what does not belong there: `nox -s reliability`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from devqubit.storage import create_registry
from tests.servers.gcs import GCSServer

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]

FOREIGN = 10_000
MOST_MEMORY = 200 * 1024  # KiB; the interpreter and all modules take about 50 MiB
SECRET = "what is outside of the root"

PROGRAM = """
import json, re, sys
from devqubit.errors import StorageError
from devqubit.maintenance import collect_garbage, copy, open_place, verify
url, other = sys.argv[1:]
with open_place(url) as place, open_place(other) as target:
    refreshed = place.registry.refresh()
    found = []
    report = verify(place.store, place.registry, found=found.append)
    copied = copy(place, target)
    try:
        collection = str(collect_garbage(place.store, place.registry, dry_run=False))
    except StorageError as exc:
        collection = f"refused: {exc}"
    print(json.dumps({
        "runs": [run["run_id"] for run in place.registry.list_runs()],
        "digests": list(place.store.list_digests()),
        "problems": sorted(problem.key for problem in place.registry.problems()),
        "foreign": report.foreign,
        "found": sorted(finding.name for finding in found),
        "collection": collection,
        "copied": [copied.runs.copied, copied.objects.copied],
        # Unlike the maximum of getrusage, this leaves out what the parent took before.
        "memory": int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]),
    }))
"""


def test_foreign_files(tmp_path: Path) -> None:
    """10,000 foreign files, a record of 2 GB and links out of the root change nothing."""
    root = tmp_path / "place"
    made = "from devqubit.maintenance import open_place; import sys\n"
    made += "with open_place(sys.argv[1]) as p:\n"
    made += "    d = p.store.put_bytes(b'mine'); p.registry.save({'run_id': 'mine', 'ref': d})\n"
    subprocess.run([sys.executable, "-c", made, str(root)], check=True)
    outside = tmp_path / "outside"
    (outside / "runs").mkdir(parents=True)
    (outside / "runs" / "theirs.json").write_text(json.dumps({"run_id": SECRET}))
    for number in range(FOREIGN // 2):
        (root / "runs" / f"note {number}.txt").write_bytes(b"x")
        (root / "objects" / "sha256" / f"junk-{number}").write_bytes(b"x")
    with (root / "runs" / "huge.json").open("wb") as huge:
        huge.truncate(2 << 30)
    for folder, target in (
        ("runs/linked", outside / "runs"),
        ("runs/theirs.json", outside / "runs" / "theirs.json"),
        ("baselines", outside),
        ("metrics", outside),
        ("objects/sha256/ff", outside),
    ):
        os.symlink(target, root / folder)
    command = [sys.executable, "-c", PROGRAM, str(root), str(tmp_path / "copy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"peak memory {found['memory'] // 1024} MiB")
    assert found["runs"] == ["mine"]
    assert len(found["digests"]) == 1
    assert found["foreign"] == FOREIGN // 2
    assert "runs/huge.json" in found["problems"]
    assert set(found["found"]) >= {"runs/huge.json"}
    assert found["copied"] == [1, 1]
    assert found["collection"].startswith("refused: ")
    assert "huge" in found["collection"]
    assert sum(1 for path in root.rglob("junk-*")) == FOREIGN // 2
    assert found["memory"] < MOST_MEMORY
    assert SECRET not in done.stdout + done.stderr
    assert sorted(os.listdir(outside)) == ["runs"]


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_keys_that_climb(scheme: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Keys such as `runs/../x.json` are nobody's, and lead nowhere when they are copied."""
    url = place_of(scheme, request)
    made = """
import sys
from devqubit.maintenance import open_place
with open_place(sys.argv[1]) as p:
    p.registry.save({'run_id': 'mine'})
"""
    subprocess.run([sys.executable, "-c", made, url], check=True)
    for key in ("x/runs/../climbs.json", "x/runs/../../climbs.json", "x/objects/sha256/../climbs"):
        plant(scheme, request, key, b'{"run_id": "climbs"}')
    command = [sys.executable, "-c", PROGRAM, url, str(tmp_path / "copy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["runs"] == ["mine"]
    assert found["copied"] == [1, 0]
    assert found["collection"].startswith("refused: ")
    assert "climbs.json" in found["collection"]
    assert list(tmp_path.rglob("*climbs*")) == []
    assert sum("climbs" in name for name in names(scheme, request)) == 3


def test_huge_record(
    gcs_server: GCSServer, gcs_bucket: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A record of 2 GB in a bucket is known by the list, and never asked for."""
    url = place_of("gs", request)
    with create_registry(url) as registry:
        registry.save({"run_id": "mine"})
    huge = gcs_server.plant(gcs_bucket, "x/runs/huge.json", b"")
    huge.claimed_crc32c, huge.composite = "AAAAAA==", True  # nobody needs it hashed
    huge.data = bytes(2 << 30)
    before = len(gcs_server.requests)
    command = [sys.executable, "-c", PROGRAM, url, str(tmp_path / "copy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["runs"], found["problems"]) == (["mine"], ["runs/huge.json"])
    assert found["memory"] < MOST_MEMORY
    asked = [target for _, target in gcs_server.requests[before:]]
    assert [target for target in asked if "huge" in target and "/o/" in target] == []


def place_of(scheme: str, request: pytest.FixtureRequest) -> str:
    """The URL of an empty place."""
    if scheme == "s3":
        bucket, endpoint = (request.getfixturevalue(f) for f in ("s3_bucket", "s3_endpoint"))
        return f"s3://{bucket}/x?endpoint_url={endpoint}&region=us-east-1"
    bucket, server = (request.getfixturevalue(f) for f in ("gcs_bucket", "gcs_server"))
    return f"gs://{bucket}/x?endpoint_url={server.endpoint}&anonymous=true"


def plant(scheme: str, request: pytest.FixtureRequest, name: str, data: bytes) -> None:
    """Writes an object of any name, which devqubit itself would refuse."""
    if scheme == "s3":
        s3_client(request).put_object(
            Bucket=request.getfixturevalue("s3_bucket"), Key=name, Body=data
        )
        return
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    options = {"api_endpoint": request.getfixturevalue("gcs_server").endpoint}
    client = storage.Client("p", AnonymousCredentials(), client_options=options)
    client.bucket(request.getfixturevalue("gcs_bucket")).blob(name).upload_from_string(data)


def names(scheme: str, request: pytest.FixtureRequest) -> list[str]:
    """The names of all objects, past devqubit."""
    if scheme == "s3":
        listed = s3_client(request).list_objects_v2(Bucket=request.getfixturevalue("s3_bucket"))
        return [item["Key"] for item in listed["Contents"]]
    server: GCSServer = request.getfixturevalue("gcs_server")
    return list(server.objects(request.getfixturevalue("gcs_bucket")))


def s3_client(request: pytest.FixtureRequest) -> Any:
    """Boto3's client of the tests' server."""
    endpoint = request.getfixturevalue("s3_endpoint")
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
