"""The careful start: what a client says of itself gives it no rights, no early kill is lost."""

import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from glunix.errors import REQUIRED_MISSING
from glunix.msg.job import JobSpec, Owner, Rlimit
from glunix.node.spawn.fork import Surroundings, decode_report, spawn_direct
from glunix.node.spawn.interpreters import missing_interpreter

OWN = Owner(os.geteuid(), os.getegid(), os.getgroups())
NOBODY = Owner(65534, 65534, [65534])
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


def spec(argv: list[bytes], **given: Any) -> JobSpec:
    fields: dict[str, Any] = {
        "argv": argv,
        "env": {b"PATH": b"/usr/bin:/bin"},
        "cwd": b"/",
        "umask": 0o022,
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "rlimits": [],
        "tty": None,
    }
    return JobSpec(**{**fields, **given})


def ran(what: JobSpec, owner: Owner) -> tuple[int, bytes]:
    """Exit code and output of a started program."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid, status = spawn_direct(Surroundings(what, owner, {}, write_end, write_end, write_end))
    os.close(write_end)
    with os.fdopen(read_end, "rb") as reader:
        text = reader.read()
    status.close()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


@pytest.mark.root
@needs_root
def test_a_client_cannot_give_itself_priority() -> None:
    assert ran(spec([b"nice"], nice=-20), NOBODY) == (0, b"%d\n" % os.getpriority(0, 0))
    assert ran(spec([b"nice"], nice=7), NOBODY) == (0, b"7\n")


@pytest.mark.root
@needs_root
def test_a_client_cannot_give_itself_limits() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_RTPRIO)
    asked = [Rlimit(resource.RLIMIT_RTPRIO, 99, 99)]
    show = spec([b"bash", b"-c", b"ulimit -Sr; ulimit -Hr"], rlimits=asked)
    assert ran(show, NOBODY) == (0, b"%d\n%d\n" % (hard, hard)), (soft, hard)


@pytest.mark.root
@needs_root
def test_the_program_of_another_user_dies_with_its_parent() -> None:
    ask = b"import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); "
    what = spec([b"/usr/bin/python3", b"-c", ask + b"print(n.value)"])
    assert ran(what, NOBODY) == (0, b"%d\n" % signal.SIGKILL)


def test_the_group_is_there_when_the_start_returns() -> None:
    """Else a kill that comes at once finds no group and is lost."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for _ in range(10):
        pid, status = spawn_direct(Surroundings(spec([b"sleep", b"60"]), OWN, {}, null, null, null))
        os.killpg(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        status.close()
    os.close(null)


def failure_of(argv: list[bytes]) -> tuple[str, int, str]:
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    pid, status = spawn_direct(Surroundings(spec(argv), OWN, {}, null, null, null))
    status.setblocking(True)
    status.settimeout(30)
    report = decode_report(status.recv(65536))
    os.waitpid(pid, 0)
    status.close()
    os.close(null)
    return report.step, report.a, report.text


def test_a_program_without_a_name_is_not_found() -> None:
    assert failure_of([b""]) == ("exec", 2, "'': command not found")


def test_a_missing_interpreter_is_named_and_not_the_program(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#! /no/such/interp -x\necho\n")
    script.chmod(0o755)
    shell = subprocess.run(["bash", "-c", str(script)], capture_output=True, text=True, check=False)
    step, error, text = failure_of([os.fsencode(script)])
    assert (step, error) == ("exec", 2)
    assert text.startswith(f"{script}: {REQUIRED_MISSING} (/no/such/interp is not on ")
    if "required file" in shell.stderr:  # bash 5.2; before that it said "bad interpreter"
        assert REQUIRED_MISSING in shell.stderr
    missing = failure_of([os.fsencode(tmp_path / "nothing")])
    assert missing[2].endswith("nothing: command not found")


def test_a_missing_loader_is_named(tmp_path: Path) -> None:
    program = tmp_path / "true"
    true = Path("/bin/true").read_bytes()
    loader = next(name for name in (b"/lib64/ld-linux-x86-64.so.2",) if name in true)
    program.write_bytes(true.replace(loader, b"/lib64/ld-nowhere-x8664.so."[: len(loader)]))
    program.chmod(0o755)
    step, error, text = failure_of([os.fsencode(program)])
    assert (step, error) == ("exec", 2) and "(/lib64/ld-nowhere" in text
    assert missing_interpreter(b"/bin/true") is None
    assert missing_interpreter(b"/etc/passwd") is None
