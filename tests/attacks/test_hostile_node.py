"""A node's supervisor lies to home: it types, reconfigures, signals, or asks with odd numbers."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glunix.home.shapes import TRANSPARENT
from glunix.home.terminal.allowed_ioctls import SIZES, is_typed_at
from glunix.msg import stream
from glunix.msg.homecalls import HomeCall, IoctlPages, Memory, PagesDone
from glunix.msg.shadows import ShadowKill, ShadowMove, ShadowMoved
from slic.interposers.home.ioctls import TERMINAL_IOCTLS

from .support import HostileNode

TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD = 0x5412, 0x541C, 0x541D, 0x5423
LOADS = {
    "TIOCLINUX": TIOCLINUX, "TIOCCONS": TIOCCONS, "TIOCSSERIAL": 0x541F, "TIOCVHANGUP": 0x5437,
    "KDSKBENT": 0x4B47, "KDSKBSENT": 0x4B49, "KDFONTOP": 0x4B72, "PIO_FONT": 0x4B61,
    "KDSETKEYCODE": 0x4B4D, "VT_ACTIVATE": 0x5606,
}  # fmt: skip


def test_home_knows_the_nodes_table() -> None:
    assert {number: (how.reads, how.writes) for number, how in TERMINAL_IOCTLS.items()} == SIZES


def test_typing_is_refused_whatever_way_it_is_asked_for() -> None:
    with HostileNode() as node:
        node.raw()
        for byte in b"id > /tmp/typed\n":
            assert node.ioctl(TIOCSTI, bytes((byte,))).error == errno.EIO
        page = Memory(0x100000, b"x".ljust(4096, b"\0"))
        node.say(IoctlPages(5, 0, TIOCSTI, 0x100000, [page]))
        assert node.hear(PagesDone).value == -errno.EIO
        node.say(stream.Back(0, b"id > /tmp/typed\n"))
        assert node.ioctl(0x541B).error == 0  # it has done all that
        assert node.typed() == 0


def test_who_asked_for_it_is_typed_for() -> None:
    with HostileNode("--allow-tiocsti") as node:
        node.raw()
        error = node.ioctl(TIOCSTI, b"x").error
        if error:
            assert error in (errno.EIO, errno.EPERM) and os.geteuid() != 0  # the kernel's own word
        else:
            assert node.typed() == 1


def test_what_was_not_read_goes_back_and_nothing_else_does() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: the kernel may refuse TIOCSTI to others")
    with HostileNode() as node:
        node.raw()
        os.write(node.master, b"typed")
        node.say(stream.Want(1, 0, 100))
        assert node.hear(stream.Got).data == b"typed" and node.typed() == 0
        for data in (b"rm -r\n", b"xtyped", b"typ", b"typedtyped"):
            node.say(stream.Back(0, data))
        node.ioctl(0x541B)
        assert node.typed() == 0
        node.say(stream.Back(0, b"ped"))
        node.say(stream.Back(0, b"ped"))  # once is enough
        node.ioctl(0x541B)
        assert node.typed() == 3


@pytest.mark.parametrize("name", LOADS)
def test_what_loads_or_reconfigures_is_refused(name: str) -> None:
    with HostileNode() as node:
        node.say(IoctlPages(5, 0, LOADS[name], 0, []))
        assert node.hear(PagesDone).value == -errno.EPERM
        assert node.ioctl(LOADS[name]).error == errno.ENOTTY  # no table has it
        node.say(IoctlPages(6, 0, 0x5401, 0x100000, [Memory(0x100000, bytes(4096))]))
        assert node.hear(PagesDone).value == -errno.ENOTTY


def test_a_line_discipline_is_not_changed() -> None:
    with HostileNode() as node:
        assert node.ioctl(TIOCSETD, (1).to_bytes(4, "little")).error == errno.EPERM
        assert node.ioctl(TIOCSETD, bytes(4)).error == 0  # it has that


@pytest.mark.parametrize("size", [0, 1, 35, 36, 37, 4096])
def test_memory_of_home_is_neither_written_nor_told(size: int) -> None:
    """Without data the argument would be an address, of ours; short ones leak what lies behind."""
    with HostileNode() as node:
        told = node.ioctl(0x5401, bytes(size), argument=0x7FFF00000000)
        assert (told.error, len(told.data)) == (0, 36)
        done = node.ioctl(0x5402, told.data[:size].ljust(size, b"\0"))
        assert (done.error, done.data) == (0 if size == 36 else errno.EINVAL, b"")


def test_consoles_are_typed_at() -> None:
    assert is_typed_at(os.makedev(136, 3)) and is_typed_at(os.makedev(4, 1))
    assert not is_typed_at(os.makedev(4, 64)) and not is_typed_at(os.makedev(188, 0))


# -- signals -------------------------------------------------------------------------------------
def test_nobody_elses_process_is_signalled() -> None:
    with HostileNode() as node, subprocess.Popen(["sleep", "60"], process_group=0) as other:
        group = os.getpgid(node.startup.pid)
        (half,) = node.halves()
        for pid in (other.pid, half, 1, os.getppid()):
            node.say(ShadowKill(pid, 9, 0, []), ShadowKill(0, 9, other.pid, []))
            node.say(ShadowKill(pid, 9, group, []))
        node.say(ShadowKill(0, 9, group, []))  # the job's own: nobody of it is home's
        node.say(ShadowMove(3, other.pid, group), ShadowMove(4, half, group))
        assert [node.hear(ShadowMoved).error for _ in range(2)] == [errno.ESRCH] * 2
        assert node.ioctl(0x541B).error == 0 and node.startup.poll() is None
        assert other.poll() is None
        other.kill()


def test_the_terminal_goes_to_no_group_that_the_job_only_spoke_of() -> None:
    with HostileNode() as node, subprocess.Popen(["sleep", "60"], process_group=0) as other:
        before = os.tcgetpgrp(node.master)
        node.say(ShadowMove(3, node.startup.pid, other.pid), ShadowMove(4, 0, other.pid))
        assert all(node.hear(ShadowMoved).error for _ in range(2))
        assert os.tcgetpgrp(node.master) == before
        other.kill()


# -- numbers -------------------------------------------------------------------------------------
ODD = {
    "a signal of 65": (["stopped", 0, 65], r"$[2]"),
    "a negative count": (["want", 1, 0, -1, False, -1], r"$[3]"),
    "a short message": (["shadowmove", 1], "at least length 4"),
    "a pid beyond the kernel's": (["shadownamed", 2**22 + 1, b"", b""], r"$[1]"),
    "a long name": (["shadownamed", 5, bytes(65), b""], r"$[2]"),
    "257 shadows": (["shadowsended", list(range(1, 258))], r"$[1]"),
    "a text that is none": (["homecall", 1, b"open", -1, [], [], b"", 0], r"$[2]"),
    "a message of the other direction": (["got", 1, 0, b"", 0], r"$[0]"),
    "no message": ({}, "not a message"),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_messages_end_the_job_with_one_sentence(what: str) -> None:
    message, path = ODD[what]
    with HostileNode() as node:
        node.say_raw(msgspec.msgpack.encode(message))
        assert node.ended(5) != 0
        said = node.complaint()
        assert said.startswith("glurun: ") and said.count("\n") == 1, said
        assert path in said


def of(shape: tuple[object, ...]) -> st.SearchStrategy[object]:
    """Right values of a shape, at its edges as a rule."""
    kind, *limits = shape
    if kind == "int":
        low, high = limits
        assert isinstance(low, int) and isinstance(high, int)
        near = {low, low + 1, high - 1, high, 0, 1, 2, 3, 80}
        return st.sampled_from(sorted(one for one in near if low <= one <= high))
    if kind == "bool":
        return st.booleans()
    if kind in ("str", "bytes"):
        least, most = limits[:2]
        assert isinstance(least, int) and isinstance(most, int)
        words = ["open", "stat", "reopen", "write", "recv", "flock", "getdents", "x" * most]
        if kind == "str":
            return st.sampled_from([word for word in words if least <= len(word) <= most])
        sizes = sorted({least, min(most, 36), min(most, 4096)})
        return st.sampled_from([bytes(size) for size in sizes] + [b"/h/x"][: most > 3])
    if kind == "array":
        return st.lists(of(limits[2]), min_size=int(str(limits[0])), max_size=3)  # type: ignore[arg-type]
    return st.tuples(*map(of, limits[1])).map(list)  # type: ignore[arg-type]


_ENDS = ("exited", "failed", "stopped", "line", "lineover")
"""Those that end or stop a job as they should."""
ANY = st.one_of(
    [
        st.tuples(*map(of, kinds)).map(lambda fields, tag=tag: [tag, *fields])
        for tag, (_, kinds) in TRANSPARENT.items()
        if tag not in _ENDS
    ]
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(ANY, min_size=1, max_size=30))
def test_no_message_that_the_types_allow_is_a_traceback_or_a_hang(sent: list[object]) -> None:
    with HostileNode("--home", "/nonexistent/h") as node:
        try:
            for message in sent:
                node.say_raw(msgspec.msgpack.encode(message))
            node.say(stream.Exited(0, 3, 0), stream.Out(0, 1, b""), stream.Out(0, 2, b""))
        except OSError:
            pass  # it has had enough
        node.link.shutdown(1)
        node.ended(15)
        said = node.complaint()
        assert "Traceback" not in said, (said, sent)


def test_a_homecall_with_everything_wrong_is_an_error() -> None:
    with HostileNode("--home", "/tmp") as node:
        for call in ("open", "stat", "rename", "utime", "no-such"):
            node.say(HomeCall(1, call, -1, [], [], b"", 0))
        node.say(HomeCall(1, "open", -1, [b"/tmp/\0x"], [2**63 - 1, -(2**63)], b"", 0))
        assert node.ioctl(0x541B).error == 0


def test_a_node_that_is_gone_is_a_sentence_within_a_second() -> None:
    with HostileNode() as node:
        assert node.ioctl(0x541B).error == 0
        began = time.monotonic()
        node.link.close()
        assert node.ended(5) == -signal.SIGKILL
        assert time.monotonic() - began < 1
        assert "lost the daemon" in node.complaint()
