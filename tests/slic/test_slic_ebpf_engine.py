"""The `ebpf` engine: told is what happened, as the other engines tell it; and nobody is held."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from ebpf_helpers import held_by, needs_bpf, wait_until_unloaded
from slic_harness import Running, result_of

from slic.engine import MissingCapability
from slic.interposer import Event, Interposer, ProcessEvent, after, on, on_event, on_signal
from slic.interposers.passthrough import PassThrough
from slic.interposers.trace import Trace
from slic.policy import Policy
from slic.registry import engines, select
from slic.tracee import BadAddress, Tracee
from slic.verdict import PASS, Capability, Return, Verdict

Guest = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]
ENGINE = engines()["ebpf"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
SLIC = [sys.executable, "-m", "slic.cli"]


class Answers(Interposer):
    @on("getppid")
    def answered(self, tracee: Tracee) -> Verdict:
        return Return(1)


class Looks(Interposer):
    @on("getppid", needs=Capability.INSPECT)
    def seen(self, tracee: Tracee) -> Verdict:
        return PASS


class Replaces(Interposer):
    @after("getppid")
    def replaced(self, tracee: Tracee, result: int) -> int:
        return 1


class Drops(Interposer):
    @on_signal(signal.SIGUSR1)
    def dropped(self, tid: int, signal: int) -> int:
        return 0


class Paths(Interposer):
    """What openat was given, and what became of it."""

    confines = False

    def __init__(self) -> None:
        self.seen: list[bytes | str] = []
        self.results: list[int] = []
        self.events: list[Event] = []
        self.signals: list[int] = []

    @on("openat", needs=Capability.INSPECT, observes=True)
    def opened(self, tracee: Tracee, filename: int) -> Verdict:
        try:
            self.seen.append(tracee.cstring(filename))
        except BadAddress as error:
            self.seen.append(str(error))
        with pytest.raises(BadAddress):
            tracee.read(filename + 1, 1)
        return PASS

    @after("openat", observes=True)
    def result(self, tracee: Tracee, result: int) -> None:
        self.results.append(result)

    @on_event(ProcessEvent.FORK, ProcessEvent.EXEC, ProcessEvent.EXIT, ProcessEvent.STOP)
    def told(self, event: Event) -> None:
        self.events.append(event)

    @on_signal(observes=True)
    def signal(self, tid: int, signal: int) -> int:
        self.signals.append(signal)
        return signal


@pytest.mark.parametrize("interposer", [Answers, Looks, Replaces, Drops])
def test_what_holds_a_call_is_refused_before_the_program_starts(
    interposer: type[Interposer],
) -> None:
    name = "RETURN" if interposer is Answers else "HOLD"
    with pytest.raises(MissingCapability, match=f"needs {name}: engine ebpf cannot, "):
        ENGINE.prepare(Policy([interposer()]))


def test_it_is_chosen_by_name_and_after_those_that_hold() -> None:
    assert list(engines())[-1] == "ebpf"
    assert select(Policy([PassThrough(["getppid"])])).name != "ebpf"


@needs_bpf
def test_paths_are_those_of_the_moment_of_the_call(guest: Guest) -> None:
    """Also when the program overwrites its string at once, or the page was not in memory yet."""
    program = guest(
        "overwrites",
        r"""
        int main(int c, char **v) {
          char path[64];
          for (int i = 0; i < 200; i++) {
            snprintf(path, sizeof path, "/nope/%03d", i);
            openat(AT_FDCWD, path, O_RDONLY);
            memset(path, 'x', sizeof path - 1); }
          int fd = open(v[1], O_RDONLY);
          char *fresh = mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
          openat(AT_FDCWD, fresh, O_RDONLY);
          openat(AT_FDCWD, (char *)8, O_RDONLY);
          return 0; }
        """,
    )
    file = Path(program).with_name("path.txt")
    file.write_bytes(b"/nope/fresh\0")
    paths = Paths()
    status, _ = result_of(ENGINE, [paths], [program, str(file)])
    assert status == 0
    assert paths.seen[-203:-3] == [b"/nope/%03d" % i for i in range(200)]
    assert paths.seen[-3:] == [str(file).encode(), b"/nope/fresh", "0x8 was not copied"]
    assert len(paths.results) == len(paths.seen)
    assert paths.results[-203:-3] == [-2] * 200 and paths.results[-1] == -14


@needs_bpf
def test_events_and_signals(guest: Guest) -> None:
    program = guest(
        "events",
        r"""
        static void got(int s) {}
        int main(void) {
          signal(SIGUSR1, got); raise(SIGUSR1);
          pid_t p = fork();
          if (p == 0) { raise(SIGSTOP); execl("/bin/true", "true", NULL); }
          int status;
          waitpid(p, &status, WUNTRACED);
          kill(p, SIGCONT);
          waitpid(p, &status, 0);
          return 5; }
        """,
    )
    paths = Paths()
    with Running(ENGINE, [paths], [program]) as running:
        status, _ = running.finish()
        first = running.pid
    assert status == 5
    child = next(e.other for e in paths.events if e.what is ProcessEvent.FORK)
    assert [(e.what, e.tid, e.value) for e in paths.events if e.tid == child] == [
        (ProcessEvent.STOP, child, signal.SIGSTOP),
        (ProcessEvent.EXEC, child, 0),
        (ProcessEvent.EXIT, child, 0),
    ]
    assert [(e.what, e.value) for e in paths.events if e.tid == first] == [
        (ProcessEvent.EXEC, 0),
        (ProcessEvent.FORK, 0),
        (ProcessEvent.EXIT, 5 << 8),
    ]
    assert Counter(paths.signals) == {signal.SIGUSR1: 1, signal.SIGSTOP: 1}  # others are ignored


def _lines(engine: str, out: Path, *argv: str) -> list[tuple[str, str]]:
    """Calls in order with their results; ptrace alone shows what structures hold."""
    words = [*SLIC, "run", "-e", engine, "-i", f"trace:out={out}", "--", *argv]
    subprocess.run(words, env=ENVIRONMENT, check=True, capture_output=True, timeout=60)
    shown = re.sub(r"0x[0-9a-f]+", "N", out.read_text())
    found = re.findall(r"(\w+)\(.*\) += (-1 \w+|\w+|\?)", shown)
    return [(name, "" if name == "set_tid_address" else result) for name, result in found]


@needs_bpf
def test_a_trace_is_the_same_as_under_ptrace(tmp_path: Path) -> None:
    argv = ("/bin/cat", "/etc/hostname")
    own = _lines("ebpf", tmp_path / "ebpf", *argv)
    theirs = _lines("ptrace", tmp_path / "ptrace", *argv)
    assert len(own) > 20 and own == theirs


@needs_bpf
def test_a_summary_is_counted_in_the_kernel(guest: Guest) -> None:
    program = guest(
        "counted_summary",
        r"""int main(void) {
          for (int i = 0; i < 300000; i++) syscall(SYS_getppid);
          for (int i = 0; i < 7; i++) close(-1);
          return 0; }""",
    )
    trace = Trace(lambda _: None, ["getppid", "close", "execve"], summary=True)
    assert result_of(ENGINE, [trace], [program])[0] == 0
    assert trace.counts["getppid"].calls == 300_000 and trace.counts["getppid"].errors == 0
    assert trace.counts["close"].errors == 7
    assert set(trace.counts) == {"getppid", "close", "execve"}
    assert trace.counts["execve"].calls == 1 and trace.counts["execve"].time > 0


@needs_bpf
def test_what_comes_too_fast_is_lost_and_said(guest: Guest) -> None:
    """The program is not slowed down, and the session ends all the same."""
    program = guest(
        "flood",
        r"""int main(void) {
          for (int i = 0; i < 600000; i++) syscall(SYS_getppid);
          return 4; }""",
    )
    slow = "import time\nfrom slic.interposer import Interposer, on\n" + (
        "from slic.verdict import PASS, Capability\n"
        "class Slow(Interposer):\n"
        "    confines = False\n"
        "    n = 0\n"
        "    @on('getppid', needs=Capability.INSPECT, observes=True)\n"
        "    def seen(self, tracee):\n"
        "        Slow.n += 1\n"
        "        if Slow.n == 1: time.sleep(3)\n"
        "        return PASS\n"
    )
    path = Path(program).with_name("slow.py")
    path.write_text(slow)
    done = subprocess.run(
        [*SLIC, "run", "-e", "ebpf", "-i", f"{path}:Slow", "--", program],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 4
    assert re.fullmatch(r"slic: ebpf: \d+ events came too fast and were lost\n", done.stderr)


@needs_bpf
def test_attach_stops_nobody_and_leaves_nothing(guest: Guest, tmp_path: Path) -> None:
    program = guest(
        "ticks",
        r"""int main(void) {
          for (;;) { access("/tick", 0); usleep(1000); } }""",
    )
    out = tmp_path / "out"
    target = subprocess.Popen([program])
    words = [*SLIC, "attach", "-e", "ebpf", "-i", f"trace:access,out={out}", str(target.pid)]
    with subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as slic:
        assert slic.stderr is not None
        assert slic.stderr.readline() == "slic: attached to 1 tasks\n"
        deadline = time.monotonic() + 20
        while '"/tick", F_OK)' not in out.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        status = Path(f"/proc/{target.pid}/status").read_text()
        assert "TracerPid:\t0\n" in status and "Seccomp:\t0\n" in status
        held = held_by(slic.pid)
        slic.send_signal(signal.SIGINT)
        assert slic.wait(20) == 0
    assert target.poll() is None
    target.kill()
    target.wait()
    wait_until_unloaded(held)
    done = subprocess.run(
        [*SLIC, "attach", "-e", "ebpf", "-i", "trace", str(target.pid)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 125 and "No such process" in done.stderr


@needs_bpf
def test_it_works_beside_strace(guest: Guest, tmp_path: Path) -> None:
    """ptrace is free, and a traced program is seen as any."""
    if shutil.which("strace") is None:
        pytest.skip("strace is missing")
    paths = Paths()
    trace = tmp_path / "strace"
    argv = [shutil.which("strace") or "", "-o", str(trace), "-e", "openat", "/bin/cat", "/nope"]
    assert result_of(ENGINE, [paths], argv)[0] == 1
    assert paths.seen.count(b"/nope") == 1 and '"/nope"' in trace.read_text()


@needs_bpf
def test_a_killed_supervisor_takes_the_program_along_and_leaves_nothing() -> None:
    words = [*SLIC, "run", "-e", "ebpf", "-i", "trace:openat,out=/dev/null", "--"]
    program = ["sh", "-c", "echo $$; exec sleep 100"]
    with subprocess.Popen(
        [*words, *program], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as slic:
        assert slic.stdout is not None
        pid = int(slic.stdout.readline())
        held = held_by(slic.pid)
        slic.kill()
        slic.wait()
        deadline = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    wait_until_unloaded(held)
