"""No shared file system: what is missing is said plainly, and --stage sends it along."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import pytest
from e2e.cluster import until

from glunix.errors import GlunixError, Refused
from glunix.home import staging
from glunix.msg.job import JobSpec, Owner, StagedFile
from glunix.msg.stream import Start
from glunix.node.staging import Stage, empty

from .lab import Lab

ME = Owner(os.geteuid(), os.getegid(), [])


def start(*files: StagedFile) -> Start:
    spec = JobSpec([b"./x"], {}, b"/gone", 0o22, 0, [], None, staged=list(files))
    return Start(7, 1, [0], "home", ME, spec)


def file(name: bytes, data: bytes = b"data", mode: int = 0o644) -> StagedFile:
    return StagedFile(name, mode, zlib.compress(data), len(data))


# -- the two halves by themselves ------------------------------------------------------------


def test_home_packs_what_the_node_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    (home / "sub").mkdir(parents=True)
    program = home / "prog"
    program.write_bytes(b"#!/bin/sh\n")
    program.chmod(0o750)
    (home / "sub" / "input").write_bytes(b"\0" * 100_000)
    (tmp_path / "outside").write_bytes(b"o")
    monkeypatch.chdir(home)
    argv, files = staging.packed([b"./prog", b"-x"], [b"sub/input", b"../outside"], None)
    assert argv == [b"./prog", b"-x"]
    given = [StagedFile(*row) for row in files]  # type: ignore[misc]
    stage = Stage(tmp_path / "stage", start(*given))
    stage.fill()
    assert os.fsdecode(stage.start(start()).spec.cwd) == str(stage.path)
    assert (stage.path / "prog").stat().st_mode & 0o777 == 0o750
    assert (stage.path / "sub" / "input").read_bytes() == b"\0" * 100_000
    assert (stage.path / "outside").read_bytes() == b"o"
    assert stage.path.stat().st_mode & 0o777 == 0o700
    os.symlink(home, stage.path / "link")  # what a job leaves is removed, what it points to is not
    assert not stage.remove()
    stage.empty()
    assert stage.remove()
    assert not stage.path.exists() and program.exists()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([b"no-such"], "cannot stage no-such: No such file"),
        ([b"/"], "not a plain file"),
        ([b"a", b"d/../a", b"../b/a"], "they would have one name"),
        ([b"big"], "too large"),
    ],
)
def test_what_cannot_be_staged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[bytes], words: str
) -> None:
    for folder in ("here", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").write_bytes(b"a")
    (tmp_path / "here" / "big").write_bytes(os.urandom(staging.SENT_MAX + 1))
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(GlunixError, match=words):
        staging.packed([b"sh"], files, None)


@pytest.mark.parametrize(
    "bad",
    [
        file(b"/etc/passwd"),
        file(b"../x"),
        file(b"a/../../x"),
        file(b"a//b"),
        file(b"a\0b"),
        StagedFile(b"x", 0o644, b"not zlib", 3),
        StagedFile(b"x", 0o644, zlib.compress(b"more than it says"), 3),
        StagedFile(b"x", 0o644, zlib.compress(b"cut")[:-3], 3),
        StagedFile(b"bomb", 0o644, zlib.compress(b"\0" * (1 << 26)), 100),
    ],
)
def test_what_a_node_refuses(tmp_path: Path, bad: StagedFile) -> None:
    with pytest.raises((Refused, ValueError)):
        Stage(tmp_path / "stage", start(file(b"good"), bad)).fill()
    assert all(entry == tmp_path / "stage" for entry in tmp_path.iterdir())
    for stage in tmp_path.glob("stage/*"):
        empty(stage)
        assert list(stage.iterdir()) == []


def test_a_tree_that_is_deeper_than_anything(tmp_path: Path) -> None:
    """Deeper than a path is long, than Python calls, than a process has descriptors."""
    top = tmp_path / "top"
    top.mkdir()
    outside = tmp_path / "outside"
    outside.write_text("stays")
    fd = os.open(top, os.O_RDONLY)
    for number in range(5000):
        os.symlink(outside, "link", dir_fd=fd)
        os.mkdir("d", 0o700, dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        if number % 7 == 0:
            os.fchmod(fd, 0)
        os.close(fd)
        fd = below
    os.close(fd)
    empty(top)
    assert list(top.iterdir()) == [] and outside.read_text() == "stays"


# -- in the lab ------------------------------------------------------------------------------


@pytest.fixture
def only_home(shared_lab: Lab) -> Path:
    """A folder whose contents only home has."""
    folder = shared_lab.folder / "only-home"
    if not folder.exists():
        folder.mkdir()
        folder.chmod(0o755)
        home = shared_lab.home
        home.good("mount", "-t", "tmpfs", "lab", str(folder))
        script = (
            f"cd {folder} && mkdir deep data && echo input >data/in.txt && "
            "printf '#!/bin/sh\\ncat \"$@\"; pwd; hostname\\n' >prog && chmod 755 prog"
        )
        home.good("sh", "-c", script)
    return folder


def test_missing_on_the_node(shared_lab: Lab, only_home: Path) -> None:
    home = shared_lab.home
    result = home.glurun("-w", "node1", f"{only_home}/prog")
    assert result.status == 127 and result.err.count(b"\n") == 1
    assert "node1 does not have it, though it is here: --stage sends it" in result.complaint
    result = home.glurun("-w", "node1", "-D", f"{only_home}/deep", "true")
    assert result.status == 125 and result.err.count(b"\n") == 1
    assert "cannot enter" in result.complaint and "though it is here" in result.complaint
    result = home.glurun("no-such-program")
    assert result.complaint == "glurun: no-such-program: command not found"


def test_stage(shared_lab: Lab, only_home: Path) -> None:
    home = shared_lab.home
    line = f"cd {only_home} && glurun -w node1 --stage=data/in.txt ./prog data/in.txt"
    first, cwd, host = home.good("bash", "-c", line).splitlines()
    assert (first, host) == ("input", "node1")
    until(lambda: not Path(cwd).exists(), "the directory is removed after the job")
    both = home.good("bash", "-c", f"cd {only_home} && glurun -n 3 --stage ./prog /dev/null")
    assert {"node1", "node2", "node3"} < set(both.split())
    line = f"cd {only_home} && glurun -T -w node2 --stage=data/in.txt ./prog data/in.txt"
    assert home.good("bash", "-c", line).splitlines()[0] == "input"
    user = home.glurun("--stage", f"{only_home}/prog", "/dev/null", uid=60001)
    assert user.status == 0, user
    assert home.glurun("--stage", "no-such-program").complaint == (
        "glurun: no-such-program: command not found here, so it cannot be staged"
    )
    for node in shared_lab.nodes:
        until(lambda node=node: not list((node.folder / "stage").glob("*")), "nothing is left")


def test_doctor_compares_the_nodes(shared_lab: Lab, only_home: Path) -> None:
    """Detected, not believed: a mark written at home is looked for on each node."""
    home = shared_lab.home
    result = home.run("glunix", "doctor", "--nodes", "--json", str(shared_lab.work),
                      str(only_home), f"{only_home}/prog", "sh", timeout=60)  # fmt: skip
    rows = json.loads(result.out)["paths"]
    found = {(row["path"], row["node"]): row["state"] for row in rows}
    for node in ("node1", "node2", "node3"):
        assert found[str(shared_lab.work), node] == "shared"
        assert found[str(only_home), node] == "differs"
        assert found[f"{only_home}/prog", node] == "missing"
        assert found["sh", node] == "same"
    assert result.status == 1
    text = home.run("glunix", "doctor", "--nodes", str(shared_lab.work), "sh", timeout=60)
    assert text.status == 0 and "shared" in text.text
