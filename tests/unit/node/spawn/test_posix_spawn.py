"""The quick start gives a program what the careful one gives it, and leaves the rest to it."""

import os
import resource
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glunix.msg.job import JobSpec, Owner, Rlimit
from glunix.node.spawn.fork import Surroundings, spawn_direct
from glunix.node.spawn.posix_spawn import is_plain, spawn_quickly

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


@pytest.fixture
def as_init(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick start wants a PID namespace that ends its jobs."""
    monkeypatch.setattr(os, "getpid", lambda: 1)


def around(what: JobSpec, output: int) -> Surroundings:
    return Surroundings(what, OWN, {b"GLUNIX_NPID": b"7"}, output, output, output)


def finished(pid: int, output: tuple[int, int]) -> tuple[int, bytes]:
    os.close(output[1])
    with os.fdopen(os.dup(output[0]), "rb") as reader:
        text = reader.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


@pytest.mark.usefixtures("as_init")
def test_the_program_finds_what_the_careful_start_gives() -> None:
    what = spec([b"sh", b"-c", SHOW.encode()])
    quick, careful = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
    pid = spawn_quickly(around(what, quick[1]))
    assert pid is not None
    assert os.getpgid(pid) == pid
    other, status = spawn_direct(around(what, careful[1]))
    assert finished(pid, quick) == finished(other, careful)
    status.close()
    os.close(quick[0])
    os.close(careful[0])


@pytest.mark.usefixtures("as_init")
def test_signals_are_at_their_defaults(output: tuple[int, int]) -> None:
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    pid = spawn_quickly(around(spec([b"sh", b"-c", b"kill -PIPE $$; exit 1"]), output[1]))
    assert pid is not None
    assert finished(pid, output)[0] == -signal.SIGPIPE


@pytest.mark.usefixtures("as_init")
def test_our_own_directory_and_umask_stay(output: tuple[int, int]) -> None:
    mask = os.umask(0)
    os.umask(mask)
    here = Path.cwd()
    pid = spawn_quickly(around(spec([b"true"]), output[1]))
    assert pid is not None
    assert spawn_quickly(around(spec([b"true"], cwd=b"/no/such"), output[1])) is None
    assert (Path.cwd(), os.umask(mask)) == (here, mask)
    assert finished(pid, output) == (0, b"")


@pytest.mark.usefixtures("as_init")
def test_what_cannot_start_is_left_to_the_careful_start(
    output: tuple[int, int], tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("exit 3\n")  # no #!: execvp(3) gives it to sh
    script.chmod(stat.S_IRWXU)
    for argv in ([b"nosuch"], [b"/etc/passwd"], [os.fsencode(script)]):
        assert spawn_quickly(around(spec(argv), output[1])) is None
    os.close(output[1])


def test_only_in_a_pid_namespace_of_its_own(output: tuple[int, int]) -> None:
    assert spawn_quickly(around(spec([b"true"]), output[1])) is None
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
