"""Commands that move objects, and those that say where things are."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.command import INTERRUPTIBLE, PROGRAM, Workspace
from tests.servers.relay import Relay, Rule, Silence


def test_put_and_get(devqubit: Workspace, tmp_path: Path) -> None:
    """A file goes in and comes out, by its digest or its first digits."""
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"counts")
    hexadecimal = hashlib.sha256(b"counts").hexdigest()
    assert devqubit.text("put", str(source)) == f"sha256:{hexadecimal}  {source}\n"
    assert devqubit.text("get", hexadecimal[:8], "-o", str(target)) == f"{target}\n"
    assert target.read_bytes() == b"counts"
    (done,) = devqubit.json("get", f"sha256:{hexadecimal}", "-o", str(target), "--force")
    assert done == {"digest": f"sha256:{hexadecimal}", "output": str(target), "bytes": 6}


def test_put_many(devqubit: Workspace, tmp_path: Path) -> None:
    """Many files are stored in order; one that cannot be is named, and costs no other."""
    names = [str(tmp_path / f"{number}") for number in range(20)]
    for name in names:
        Path(name).write_text(Path(name).name)
    assert [found["name"] for found in devqubit.json("put", *names)] == names
    blocked = devqubit.home / "objects/sha256" / hashlib.sha256(b"new").hexdigest()[:2]
    (tmp_path / "new").write_bytes(b"new")
    if blocked.exists():
        shutil.rmtree(blocked)
    blocked.write_bytes(b"a file where a folder must be")
    done = devqubit("put", str(tmp_path / "new"), *names[:2])
    assert (done.returncode, len(done.stdout.splitlines())) == (3, 2)
    assert done.stderr.decode().startswith(f"Error: {tmp_path / 'new'}: ")


def test_get_replaces_nothing(devqubit: Workspace, tmp_path: Path) -> None:
    """A file that is there stays, unless told otherwise."""
    digest = devqubit.artifact(b"new")
    (tmp_path / "out").write_bytes(b"mine")
    for command in (("get", digest), ("runs", "export")):
        code, message = devqubit.refused(*command, "-o", str(tmp_path / "out"))
        assert (code, "is there already" in message) == (2, True)
        code, message = devqubit.refused(*command, "-o", str(tmp_path / "no" / "out"))
        assert (code, f"{tmp_path / 'no'} is no folder" in message) == (2, True)
    assert (tmp_path / "out").read_bytes() == b"mine"


def test_pipes(devqubit: Workspace) -> None:
    """`-` is the input, and `cat` prints the bytes as they are."""
    data = bytes(range(256)) * 1000
    done = devqubit("put", "-", given=data)
    digest = done.stdout.decode().split()[0]
    assert devqubit("cat", digest).stdout == data


def test_damage_is_not_printed(devqubit: Workspace) -> None:
    """Nothing is printed of an object that is not what its digest says."""
    digest = devqubit.artifact(b"right")
    hexadecimal = digest.partition(":")[2]
    (devqubit.home / "objects/sha256" / hexadecimal[:2] / hexadecimal).write_bytes(b"wrong")
    done = devqubit("cat", digest)
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"damaged" in done.stderr


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("00", 2, "too short"),
        ("0000", 3, "Object not found"),
        ("xyzw", 2, "lower-case hexadecimal"),
        ("sha256:" + "0" * 64, 3, "Object not found"),
        ("sha256:" + "0" * 65, 2, "lower-case hexadecimal"),
    ],
)
def test_bad_digests(devqubit: Workspace, typed: str, code: int, said: str) -> None:
    """What is no digest is a mistake in typing; one of nothing is not found."""
    found, message = devqubit.refused("cat", typed)
    assert (found, said in message) == (code, True)


def test_ambiguous_digits(devqubit: Workspace) -> None:
    """Digits that several objects begin with are refused."""
    digests: dict[str, str] = {}
    for number in range(2_000):
        digest = "sha256:" + hashlib.sha256(str(number).encode()).hexdigest()
        if digest[:11] in digests:
            break
        digests[digest[:11]] = str(number)
    devqubit.artifact(str(number).encode())
    devqubit.artifact(digests[digest[:11]].encode())
    code, message = devqubit.refused("cat", digest[7:11])
    assert (code, "type more digits" in message) == (2, True)


def test_list(devqubit: Workspace) -> None:
    """Objects are listed in order, by their first digits, and with sizes and times."""
    sizes = {devqubit.artifact(b"x" * size): size for size in range(20)}
    digests = sorted(sizes)
    assert devqubit.text("ls").split() == digests
    assert devqubit.text("ls", digests[0][7:11]).split() == digests[:1]
    assert devqubit.text("ls", "-l").split()[:3] == [digests[0], str(sizes[digests[0]]), "B"]
    assert {found["digest"]: found["bytes"] for found in devqubit.json("ls")} == sizes


def test_nobody_reads_on(devqubit: Workspace) -> None:
    """`devqubit ls | head` ends without a word."""
    for number in range(50):
        devqubit.artifact(str(number).encode())
    child = subprocess.Popen(
        [*PROGRAM, "ls"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=devqubit.environment
    )
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    assert (child.stderr.read(), child.wait(60) != 0) == (b"", True)
    child.stderr.close()


def test_bar(devqubit: Workspace, tmp_path: Path) -> None:
    """A person sees a bar with the rate, where a program sees the digest alone."""
    (tmp_path / "in").write_bytes(b"x" * 1_000_000)
    seen = devqubit.on_terminal("put", str(tmp_path / "in"))[1]
    assert "1.0/1.0 MB" in seen
    assert "\x1b[" in seen


def test_no_color(devqubit: Workspace) -> None:
    """A table on a terminal has a heading, and no colours where NO_COLOR is set."""
    devqubit.run("a")
    devqubit.environment["NO_COLOR"] = "1"
    seen = devqubit.on_terminal("runs", "list")[1]
    assert "created" in seen
    assert "\x1b[3" not in seen


def test_info(devqubit: Workspace) -> None:
    """It says what serves what, and what is there."""
    devqubit.run("a", devqubit.artifact(b"12345"))
    (found,) = devqubit.json("info", "--objects")
    expected = {"registry": devqubit.home.as_uri(), "runs": 1, "objects": 1, "object_bytes": 5}
    assert {name: found[name] for name in expected} == expected
    assert found["store"] == (devqubit.home / "objects").as_uri()
    (beside,) = devqubit.json("info", str(devqubit.home))
    assert beside["store"] == found["store"]
    assert ["runs", "1"] in devqubit.rows("info")


def test_objects_beside_the_runs(devqubit: Workspace, tmp_path: Path) -> None:
    """Objects that lie beside the runs are found there."""
    (tmp_path / "place/sha256/ab").mkdir(parents=True)
    (tmp_path / "place/sha256/ab" / ("ab" * 32)).write_bytes(b"x")
    (found,) = devqubit.json("info", str(tmp_path / "place"))
    assert found["store"] == (tmp_path / "place").as_uri()


def test_config(devqubit: Workspace) -> None:
    """Every variable is shown with where its value is from, and without what may be secret."""
    devqubit.environment["DEVQUBIT_STORAGE_URL"] = "s3://b/x?token=CANARY"
    rows = {row[0]: row[1:] for row in devqubit.rows("config")}
    assert rows["DEVQUBIT_STORAGE_URL"] == ["s3://b/x", "environment"]
    assert rows["DEVQUBIT_REGISTRY_URL"] == [str(devqubit.home), "default"]
    assert devqubit.json("config")[0]["name"] == "DEVQUBIT_HOME"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(devqubit: Workspace, shell: str) -> None:
    """Each shell's script asks the command itself."""
    assert f"_DEVQUBIT_COMPLETE={shell}_complete" in devqubit.text("completion", shell)


def test_completes(devqubit: Workspace) -> None:
    """Commands, and commands of commands, are completed."""
    devqubit.environment |= {
        "_DEVQUBIT_COMPLETE": "bash_complete",
        "COMP_WORDS": "devqubit runs s",
        "COMP_CWORD": "2",
    }
    assert devqubit.text().split() == ["plain,search", "plain,show"]


def test_misspelt(devqubit: Workspace) -> None:
    """A command that does not exist is exit code 2, and one like it is named."""
    done = devqubit("lss")
    said = b"No such command 'lss'. Did you mean 'ls'?" in done.stderr
    assert (done.returncode, said) == (2, True)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another thing there")
def test_interrupt(devqubit: Workspace) -> None:
    """Ctrl-C ends a command that waits for a server: one word, and exit code 130."""
    with Relay("http://127.0.0.1:9") as relay:
        relay.add(Rule(), Silence())
        url = f"s3://bucket/x?endpoint_url={relay.endpoint}&region=us-east-1"
        command = [*INTERRUPTIBLE, "ls", "--store", url]
        child = subprocess.Popen(command, stderr=subprocess.PIPE, env=devqubit.environment)
        while not relay.requests:
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=60)
    assert (child.returncode, error) == (130, b"Interrupted\n")


def test_s3(devqubit: Workspace, s3_bucket: str, s3_endpoint: str, tmp_path: Path) -> None:
    """The same commands work on S3, with the parameters in the URL."""
    place = f"s3://{s3_bucket}/x"
    devqubit.environment |= {
        "DEVQUBIT_STORAGE_URL": f"{place}/objects?endpoint_url={s3_endpoint}",
        "DEVQUBIT_REGISTRY_URL": f"{place}?endpoint_url={s3_endpoint}",
    }
    (tmp_path / "in").write_bytes(b"counts")
    (put,) = devqubit.json("put", str(tmp_path / "in"))
    assert devqubit("cat", put["digest"]).stdout == b"counts"
    assert devqubit.json("runs", "list") == []
    (found,) = devqubit.json("info", f"{place}?endpoint_url={s3_endpoint}", "--objects")
    assert (found["runs"], found["objects"]) == (0, 1)


def test_missing_bucket(devqubit: Workspace, s3_endpoint: str) -> None:
    """A bucket that is not there is one line, and exit code 3."""
    url = f"s3://no-such-bucket/x?endpoint_url={s3_endpoint}"
    code, message = devqubit.refused("runs", "list", "--registry", url)
    assert (code, "no-such-bucket" in message) == (3, True)


def test_help(devqubit: Workspace) -> None:
    """Every command shows an example, on a line of its own."""

    def commands(*path: str) -> list[tuple[str, ...]]:
        lines = devqubit.text(*path, "--help").partition("\nCommands:\n")[2].splitlines()
        return [
            (*path, line.split()[0]) for line in lines if line.startswith("  ") and line[2] != " "
        ]

    found = [leaf for path in commands() for leaf in commands(*path) or [path]]
    assert ("runs", "search") in found
    for path in found:
        lines = devqubit.text(*path, "--help").splitlines()
        assert [
            line for line in lines if f"devqubit {' '.join(path)}" in line and "Usage" not in line
        ], path


@pytest.mark.parametrize("data", [b"\x1b]0;title\x07", b"\x93NUMPY\x01\x00", "\x9b31m".encode()])
def test_no_binary_on_terminals(devqubit: Workspace, data: bytes) -> None:
    """An object that a terminal would obey is not shown on one."""
    digest = devqubit.artifact(data)
    code, seen = devqubit.on_terminal("cat", digest)
    assert (code, seen) == (
        2,
        f"Error: {digest} is no text: write it to a file with `devqubit get`, or pipe it on\r\n",
    )


def test_text_on_terminals(devqubit: Workspace) -> None:
    """Text is shown as it is, tabs and letters of every language too."""
    digest = devqubit.artifact("Zählung\t1\n".encode())
    assert devqubit.on_terminal("cat", digest) == (0, "Zählung\t1\r\n")


def test_put_odd_names(devqubit: Workspace, tmp_path: Path) -> None:
    """A file's name neither breaks its line nor reaches the terminal as a command."""
    odd = tmp_path / "a\x1b[31m\nb"
    odd.write_bytes(b"x")
    assert devqubit.text("put", str(odd)).split("  ")[1] == f"{tmp_path}/a\\x1b[31m\\nb\n"


def test_put_undecodable_name(devqubit: Workspace, tmp_path: Path) -> None:
    """JSON is UTF-8 also where a file's name is not."""
    name = str(tmp_path / "c\udcff")
    Path(name).write_bytes(b"x")
    (found,) = devqubit.json("put", name)
    assert found["name"] == name


def test_capital_digits(devqubit: Workspace) -> None:
    """Digests may be typed in capitals."""
    digest = devqubit.artifact(b"counts")
    assert devqubit.text("cat", digest.upper()) == "counts"


def test_debug_exit_code(devqubit: Workspace) -> None:
    """--debug shows more, and changes no exit code."""
    done = devqubit("--debug", "runs", "show", "nope")
    assert (done.returncode, b"Traceback" in done.stderr) == (3, True)
