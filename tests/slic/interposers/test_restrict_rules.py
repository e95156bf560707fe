"""restrict without an engine: its rules, its table, and every way around."""

import errno
import re
import socket
import struct
from pathlib import Path

import pytest
from restrict_room import REFUSED, Room, address

from slic.interposers.restrict import AROUND, Restrict, Rules
from slic.interposers.support.confined import Use
from slic.interposers.support.pathcalls import NOT_A_PATH, PATH_CALLS, Fate
from slic.interposers.support.targets import target
from slic.syscalls import BY_NAME
from slic.verdict import Continue, Fail, Verdict


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_rules_are_prefixes_of_whole_names(room: Room) -> None:
    assert room.rules.may(f"{room.read}/a/b", Use.READ)
    assert room.rules.may(str(room.write), Use.READ)  # write includes read
    assert not room.rules.may(f"{room.read}x", Use.READ)
    assert not room.rules.may(f"{room.read}/a", Use.WRITE)
    assert not room.rules.may("/", Use.READ)
    assert Rules.load('files.read = ["/"]').may("/etc", Use.READ)


@pytest.mark.parametrize(
    "wrong",
    ['files.read = ["here"]', "files.raed = []", "netwrok = {}", "network.udpp = true", "files ="]
    + [f'network.connect = ["{t}"]' for t in ("80", "host.name:80", "1.2.3.4:http", "unix:x")],
)
def test_a_wrong_policy_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError):
        Rules.load(wrong)


@pytest.mark.parametrize(
    ("text", "family", "host", "port", "covered"),
    [
        ("127.0.0.1:80", socket.AF_INET, "127.0.0.1", 80, True),
        ("127.0.0.1:80", socket.AF_INET, "127.0.0.1", 81, False),
        ("127.0.0.1:80", socket.AF_INET, "127.0.0.2", 80, False),
        ("10.0.0.0/8:*", socket.AF_INET, "10.9.8.7", 65535, True),
        ("10.0.0.0/8:5-7", socket.AF_INET, "10.9.8.7", 8, False),
        ("[::1]:443", socket.AF_INET6, "::1", 443, True),
        ("[fe80::]/16:1", socket.AF_INET6, "::1", 1, False),
        ("127.0.0.1:80", socket.AF_INET6, "::ffff:127.0.0.1", 80, True),
        ("0.0.0.0/0:*", socket.AF_INET6, "::1", 80, False),
    ],
)
def test_targets(text: str, family: int, host: str, port: int, covered: bool) -> None:
    assert target(text).covers(address(family, host, port)) is covered


@pytest.mark.parametrize(
    ("text", "name", "covered"),
    [
        ("unix:@bus", b"\0bus", True),
        ("unix:@bus", b"\0buses", False),
        ("unix:@bus*", b"\0buses", True),
        ("unix:@*", b"\0\xff\n", True),
        ("unix:@*", b"/path", False),
        ("unix:/", b"\0bus", False),
    ],
)
def test_abstract_targets(text: str, name: bytes, covered: bool) -> None:
    assert target(text).covers(struct.pack("=H", 1) + name) is covered


def test_path_targets() -> None:
    assert target("unix:/").covers_path("/run/x")
    assert target("unix:/run").covers_path("/run/x")
    assert target("unix:/run").covers_path("/run")
    assert not target("unix:/run").covers_path("/runner")
    assert not target("unix:@run").covers_path("/run")


def test_every_call_with_a_path_is_listed() -> None:
    """A `char *` argument whose name speaks of a path, or any structure that holds one."""
    named = re.compile(r"path|file|name|library|special|^old$|^new$|put_old|new_root")
    for call in BY_NAME.values():
        texts = [a for a in call.arguments if "char" in a.ctype and named.search(a.name)]
        if texts:
            assert call.name in PATH_CALLS or call.name in NOT_A_PATH, call


def test_the_table_names_arguments_that_exist() -> None:
    for name, (_, paths) in PATH_CALLS.items():
        arguments = {a.name for a in BY_NAME[name].arguments}
        assert {word for pair in paths for word in pair if word} <= arguments, name


def test_every_fate_is_carried_out() -> None:
    caught = {c for h in Restrict.handlers for c in h.calls}
    for name, (fate, _) in PATH_CALLS.items():
        assert (name in caught) is (fate is not Fate.HARMLESS), name


@pytest.mark.parametrize(
    "call", [n for n, (fate, _) in PATH_CALLS.items() if fate is Fate.REFUSED] + list(AROUND)
)
def test_ways_around_are_refused(room: Room, call: str) -> None:
    assert room.ask(call, 0, 0, 0, 0, 0) == Fail(errno.EPERM)


@pytest.mark.parametrize(
    ("call", "args", "expected"),
    [
        ("unshare", (0x20000,), Fail(errno.EPERM)),
        ("unshare", (0x10000000,), Fail(errno.EPERM)),
        ("unshare", (0x200,), Continue()),
        ("clone", (0x20000 | 17,), Fail(errno.EPERM)),
        ("clone", (0x800000 | 17,), Fail(errno.EPERM)),
        ("clone", (17,), Continue()),
        ("clone3", (0, 88), Fail(errno.ENOSYS)),
        ("seccomp", (1, 8, 0), Fail(errno.EBUSY)),
        ("seccomp", (1, 0, 0), Continue()),
        ("sendto", (3, 0, 0, 0x20000000, 0, 0), Fail(errno.EOPNOTSUPP)),
        ("sendmsg", (3, 0, 0), Continue()),
        ("ioctl", (0, 0x5412, 0), Fail(errno.EPERM)),
        ("ioctl", (0, 0x40086602, 0), Fail(errno.EPERM)),  # FS_IOC_SETFLAGS: chattr
        ("ioctl", (0, 0x5401, 0), Continue()),
        ("bind", (3, 0, 16), REFUSED),
        ("listen", (3, 5), REFUSED),
        ("socket", (1, 1 | 0o2000000, 0), Continue()),
        ("socket", (1, 2, 0), REFUSED),
        ("socketpair", (1, 2, 0, 0), REFUSED),
        ("socket", (2, 1, 6), Continue()),
        ("socket", (2, 1, 132), REFUSED),
        ("socket", (2, 2, 0), REFUSED),
        ("socket", (10, 3, 0), REFUSED),
        ("socket", (17, 3, 0), Fail(errno.EAFNOSUPPORT)),
        ("socket", (16, 3, 0), Continue()),
        ("socket", (16, 3, 15), REFUSED),
    ],
)
def test_calls_judged_by_their_registers(
    room: Room, call: str, args: tuple[int, ...], expected: Verdict
) -> None:
    verdict = room.ask(call, *args)
    assert verdict == expected or (type(verdict) is type(expected) is Continue)
