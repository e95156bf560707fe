"""Stacks: every interposer in a stack does what it does alone, and nobody hides another."""

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from slic_harness import result_of

pytest.importorskip("cryptography", reason="the package `cryptography` is missing")

from slic.engine import Engine
from slic.interposer import Interposer
from slic.interposers.crypt import Crypt
from slic.interposers.guard import Guard, load
from slic.interposers.identity import Identity
from slic.interposers.passthrough import PassThrough
from slic.interposers.restrict import Restrict, Rules
from slic.interposers.support.cipherfile import MAGIC
from slic.interposers.trace import Trace

KEY = bytes(range(32))
RULES = """
[[rule]]
name = "no set-user-id"
calls = ["chmod", "fchmodat"]
where = { mode = { any_of = "S_ISUID" } }
"""
WORK = """
cd {work}
echo plain text > f; echo lines >> f; cat f; stat -c %s f; cp f g; mv g h; ls; cmp f h && echo same
(cat {other}/file) 2>/dev/null || echo refused
(echo x > {other}/new) 2>/dev/null || echo refused
mv f {other}/f 2>/dev/null || echo refused
uname -n; cat /proc/sys/kernel/hostname
chmod 4755 h 2>/dev/null || echo refused; stat -c %a h
{work}/h 2>/dev/null; echo $?
dd if=h bs=1 skip=6 count=4 2>/dev/null; truncate -s 3 h; cat h; echo; rm h; ls
"""
NODE = os.uname().nodename


class Room:
    def __init__(self, base: Path) -> None:
        self.base, self.work, self.other = base, base / "work", base / "other"
        self.trace: list[str] = []
        self.made: list[Interposer] = []
        for folder in (self.work, self.other):
            folder.mkdir()
        (self.other / "file").write_text("secret\n")

    def make(self, name: str) -> Interposer:
        policy = f"""
            files.read = ["/usr", "/etc", "/proc", "/dev/null"]
            files.write = ["{self.work}", "/dev/null"]
            files.execute = ["/usr/bin"]
            """
        made: Interposer
        match name:
            case "trace":
                made = Trace(self.trace.append)
            case "passthrough":
                made = PassThrough()
            case "restrict":
                made = Restrict(Rules.load(policy))
            case "crypt":
                made = Crypt(str(self.work), KEY)
            case "guard":
                made = Guard(load(RULES))
            case _:
                made = Identity(b"home", b"lab")
        self.made.append(made)
        return made


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    for interposer in made.made:
        interposer.finished()


def run(engine: Engine, room: Room, *names: str) -> list[str]:
    script = WORK.format(work=room.work, other=room.other)
    stack = [room.make(name) for name in names]
    _, output = result_of(engine, stack, ["/bin/sh", "-c", script])
    return output.splitlines()


STACKS = [
    ("restrict",),
    ("crypt",),
    ("guard",),
    ("identity",),
    ("restrict", "crypt"),
    ("restrict", "identity"),
    ("crypt", "identity"),
    ("identity", "crypt"),
    ("restrict", "crypt", "identity"),
    ("trace", "restrict", "crypt", "identity"),
    ("passthrough", "restrict", "crypt", "identity"),
    ("restrict", "trace", "crypt", "passthrough", "identity"),
    ("trace", "guard", "restrict", "crypt", "identity"),
]


@pytest.mark.parametrize("names", STACKS, ids="-".join)
def test_a_stack_does_what_its_parts_do_alone(
    engine: Engine, room: Room, names: tuple[str, ...]
) -> None:
    os.umask(0o022)
    seen = run(engine, room, *names)
    assert seen == expected(names)
    stored = sorted(p for p in room.work.iterdir())
    restricted = "restrict" in names
    assert [p.name for p in stored] == (["f"] if restricted else [])
    for path in stored:
        assert path.read_bytes().startswith(MAGIC) is ("crypt" in names)
    assert sorted(p.name for p in room.other.iterdir()) == (
        ["file"] if restricted else ["f", "file", "new"]
    )
    if not restricted:  # mv over the border copied the plain text
        assert (room.other / "f").read_text() == "plain text\nlines\n"
    if "trace" in names:
        told = "".join(room.trace)
        # The number a program got for a file that was handed in is told, on every engine.
        assert re.search(r"openat(\(.*\)| answered>) = \d+\n", told), told
        assert f'"{room.work}' in told or '"f"' in told
        assert "execve(" in told


def expected(names: tuple[str, ...]) -> list[str]:
    """What WORK prints, from what each of the interposers does."""
    restricted, guarded = "restrict" in names, "guard" in names
    name = "home" if "identity" in names else NODE
    lines = ["plain text", "lines", "17", "f", "h", "same"]
    lines += ["refused"] * 3 if restricted else ["secret"]
    lines += [name, name]
    lines += ["refused", "644"] if guarded else ["4755"]
    # Without x it is not run (126); with it the shell runs the text itself, and `plain` is no
    # command (127).
    lines += ["126" if restricted or guarded else "127"]
    return [*lines, "textpla", *(["f"] if restricted else [])]


def test_the_order_does_not_matter_to_those_that_do_not_meet(engine: Engine, room: Room) -> None:
    outputs = set()
    for names in itertools.permutations(("guard", "crypt", "identity")):
        outputs.add(tuple(run(engine, room, *names)))
        for path in (*room.work.iterdir(), room.other / "new", room.other / "f"):
            path.unlink()
    assert outputs == {tuple(expected(("guard", "crypt", "identity")))}


def test_the_tool_runs_a_stack(room: Room, tmp_path: Path) -> None:
    """As a user writes it, with policies and key in files."""
    (tmp_path / "policy.toml").write_text(
        f'files.read = ["/usr", "/etc", "/proc"]\nfiles.write = ["{room.work}"]\n'
        'files.execute = ["/usr/bin"]\n'
    )
    (tmp_path / "rules.toml").write_text(RULES)
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key").chmod(0o600)
    words = [
        f"guard:{tmp_path}/rules.toml",
        f"restrict:{tmp_path}/policy.toml",
        f"crypt:dir={room.work},key={tmp_path}/key",
        "identity:hostname=home",
    ]
    script = f"echo text > {room.work}/f; cat {room.work}/f; uname -n; cat {room.other}/file"
    command = [sys.executable, "-m", "slic.cli", "run"]
    for word in words:
        command += ["-i", word]
    done = subprocess.run(
        [*command, "--", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("text\nhome\n", 1), done.stderr
    assert "Permission denied" in done.stderr
    assert (room.work / "f").read_bytes().startswith(MAGIC)
