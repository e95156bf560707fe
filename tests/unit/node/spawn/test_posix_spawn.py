"""The quick start gives a program what the careful one gives it, and leaves the rest to it."""

import os
import resource
import select
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glunix.msg.job import JobSpec, Owner, Rlimit
from glunix.node.spawn.fork import Surroundings, decode_report, spawn_direct
from glunix.node.spawn.posix_spawn import is_plain, spawn_quickly
from glunix.node.spawn.reaper import REAPER

OWN = Owner(os.geteuid(), os.getegid(), os.getgroups())
LIMITS = [Rlimit(number, *resource.getrlimit(number)) for number in range(16)]
SHOW = (
    "pwd; umask; env | sort; ulimit -a; "
    "grep -E '^(SigBlk|Shd|Groups|Uid)' /proc/self/status; ls /proc/self/fd | wc -l"
)


def spec(argv: list[bytes], **given: Any) -> JobSpec:
    fields: dict[str, Any] = {
        "argv": argv,
        "env": {b"PATH": b"/nowhere:/usr/bin:/bin", b"SHOWN": b"\xff"},
        "cwd": b"/usr",
        "umask": 0o027,
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "rlimits": LIMITS,
        "tty": None,
    }
    return JobSpec(**{**fields, **given})


@pytest.fixture
def output() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    yield read_end, write_end
    os.close(read_end)


@pytest.fixture(scope="module", autouse=True)
def reaper() -> None:
    if REAPER.build() is None:
        pytest.skip("no gcc: there is no quick start")


def around(what: JobSpec, output: int) -> Surroundings:
    return Surroundings(what, OWN, {b"GLUNIX_NPID": b"7"}, output, output, output)


def finished(pid: int, output: tuple[int, int]) -> tuple[int, bytes]:
    os.close(output[1])
    with os.fdopen(os.dup(output[0]), "rb") as reader:
        text = reader.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


def quickly(what: JobSpec, output: int) -> tuple[int, socket.socket, int]:
    """(pid of the reaper, its socket, pid of the program)."""
    started = spawn_quickly(around(what, output))
    assert started is not None
    reaper, status, report = started
    assert report.kind == "started"
    status.setblocking(True)
    status.settimeout(10)
    return reaper, status, report.a


def finished_quickly(
    started: tuple[int, socket.socket, int], output: tuple[int, int]
) -> tuple[int, bytes]:
    os.close(output[1])
    with os.fdopen(os.dup(output[0]), "rb") as reader:
        text = reader.read()
    reaper, status, _ = started
    with status:
        report = decode_report(status.recv(100))
        assert report.kind == "wait"
        assert status.recv(100) == b"", "nothing comes after the end"
    assert os.waitpid(reaper, 0)[1] == 0
    return os.waitstatus_to_exitcode(report.a), text


def test_the_program_finds_what_the_careful_start_gives() -> None:
    what = spec([b"sh", b"-c", SHOW.encode()])
    quick, careful = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
    started = quickly(what, quick[1])
    assert os.getpgid(started[2]) == started[2]
    other, status = spawn_direct(around(what, careful[1]))
    assert finished_quickly(started, quick) == finished(other, careful)
    status.close()
    os.close(quick[0])
    os.close(careful[0])


def test_stops_are_told_and_signals_go_to_the_group(output: tuple[int, int]) -> None:
    started = quickly(spec([b"sh", b"-c", b"sleep 100; echo no"]), output[1])
    _, status, pid = started
    for number, then in ((signal.SIGSTOP, os.WIFSTOPPED), (signal.SIGCONT, os.WIFCONTINUED)):
        status.send(bytes([number]))
        assert then(decode_report(status.recv(100)).a)
    status.send(bytes([signal.SIGTERM]))
    assert finished_quickly(started, output) == (-signal.SIGTERM, b"")
    assert not os.path.exists(f"/proc/{pid}")


ORPHAN = b"env -i setsid sleep 800 >/dev/null 2>&1 & echo $!; exit 4"


@pytest.mark.parametrize("keep", [False, True])
def test_what_is_left_ends_with_the_program_unless_kept(
    output: tuple[int, int], keep: bool
) -> None:
    reaper, status, _ = quickly(spec([b"sh", b"-c", ORPHAN], keep=keep), output[1])
    os.close(output[1])
    with os.fdopen(os.dup(output[0]), "rb") as reader:
        orphan = int(reader.read())
    assert os.WEXITSTATUS(decode_report(status.recv(100)).a) == 4
    status.close()
    if keep:
        with pytest.raises(TimeoutError):
            ends(reaper, 1.5)
        assert children(reaper) == [orphan], "the kernel says whose it is"
        os.kill(orphan, signal.SIGKILL)
    ends(reaper, 10)
    assert not os.path.exists(f"/proc/{orphan}")


def test_what_ignores_the_hangup_is_killed(output: tuple[int, int]) -> None:
    script = b"(trap '' HUP; setsid sleep 800 >/dev/null 2>&1 & echo $!)"
    reaper, status, _ = quickly(spec([b"sh", b"-c", script]), output[1])
    os.close(output[1])
    with os.fdopen(os.dup(output[0]), "rb") as reader:
        orphan = int(reader.read())
    status.close()
    ends(reaper, 10)
    assert not os.path.exists(f"/proc/{orphan}")


def test_the_end_of_the_daemons_socket_ends_the_program(output: tuple[int, int]) -> None:
    reaper, status, pid = quickly(spec([b"sleep", b"800"]), output[1])
    os.close(output[1])
    status.close()
    ends(reaper, 10)
    assert not os.path.exists(f"/proc/{pid}")


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ends(pid: int, seconds: float) -> None:
    """Reap a child; TimeoutError when it does not end in so many seconds."""
    pidfd = os.pidfd_open(pid)
    try:
        if not select.select([pidfd], [], [], seconds)[0]:
            raise TimeoutError
    finally:
        os.close(pidfd)
    os.waitpid(pid, 0)


def test_signals_are_at_their_defaults(output: tuple[int, int]) -> None:
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    started = quickly(spec([b"sh", b"-c", b"kill -PIPE $$; exit 1"]), output[1])
    assert finished_quickly(started, output)[0] == -signal.SIGPIPE


def test_our_own_directory_and_umask_stay(output: tuple[int, int]) -> None:
    mask = os.umask(0)
    os.umask(mask)
    here = Path.cwd()
    started = quickly(spec([b"true"]), output[1])
    assert spawn_quickly(around(spec([b"true"], cwd=b"/no/such"), output[1])) is None
    assert (Path.cwd(), os.umask(mask)) == (here, mask)
    assert finished_quickly(started, output) == (0, b"")


def test_what_cannot_start_is_left_to_the_careful_start(
    output: tuple[int, int], tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("exit 3\n")  # no #!: execvp(3) gives it to sh
    script.chmod(stat.S_IRWXU)
    for argv in ([b"nosuch"], [b"/etc/passwd"], [os.fsencode(script)]):
        assert spawn_quickly(around(spec(argv), output[1])) is None
    os.close(output[1])


def test_what_is_plain() -> None:
    plain = spec([b"true"])
    assert is_plain(plain, OWN)
    assert not is_plain(plain, Owner(OWN.uid + 1, OWN.gid, OWN.groups))
    assert not is_plain(plain, Owner(OWN.uid, OWN.gid, [*OWN.groups, 12345]))
    assert not is_plain(spec([b"true"], nice=plain.nice + 1), OWN)
    assert not is_plain(spec([b"true"], ignored=[signal.SIGHUP]), OWN)
    limit = [Rlimit(resource.RLIMIT_CORE, 4096, 8192)]
    assert not is_plain(spec([b"true"], rlimits=limit), OWN)
