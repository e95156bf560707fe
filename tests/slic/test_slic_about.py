"""Handlers about a descriptor, and a session driven by its sources, on every engine."""

import os
import select
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slic_harness import DEADLINE, Running

from slic.budget import Budget
from slic.engine import Engine, Poller
from slic.interposer import DeclarationError, Interposer, on
from slic.kernel import sieve
from slic.kernel.compiled import Compiled
from slic.objects import Objects
from slic.policy import Policy
from slic.syscalls import BY_NAME
from slic.tracee import Tracee
from slic.verdict import PASS, Asking, Capability, Return, Verdict

Guest = Callable[..., str]


class Fifos(Interposer):
    """Answers reads of pipes that are not fd 0 with 77, after it asked."""

    confines = False

    def __init__(self) -> None:
        self.called: list[int] = []

    def objects(self) -> Objects:
        return Objects([stat.S_IFIFO])

    @on("read", "readv", about="fd")
    def read(self, tracee: Tracee, fd: int) -> Verdict | Asking:
        self.called.append(fd)
        if not stat.S_ISFIFO(tracee.fd_stat(fd).st_mode):
            return PASS
        return self._asked(fd)

    def _asked(self, fd: int) -> Asking:
        yield ("read", fd)
        return Return(77)


class All(Interposer):
    confines = False

    @on("read")
    def read(self, tracee: Tracee) -> Verdict:
        return PASS


class Others(Interposer):
    confines = False

    def objects(self) -> Objects:
        return Objects([stat.S_IFSOCK])

    @on("read", about="fd")
    def read(self, tracee: Tracee) -> Verdict:
        return PASS


class BySources(Running):
    """Steps by what `sources` gives, as a host with poll(2) does."""

    folder: Path | None = None
    """Where its `poller` is compiled; None: the host's own."""

    def until(self, condition: Callable[[], Any], what: str = "the condition") -> None:
        sources = self.session.sources()
        poll: Poller = select.poll()
        if self.folder is not None and (sifted := self.session.poller(str(self.folder))):
            poll = sifted
        for fd in (*sources, self._out):
            poll.register(fd, select.POLLIN)
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, f"{what}: output {self.output!r}"
            for fd, events in poll.poll(20):
                if fd != self._out:
                    sources[fd](events)
                elif data := os.read(fd, 65536):
                    self.output += data
                else:
                    poll.unregister(fd)


READS = r"""
#include <fcntl.h>
int main(void) {
  int ends[2]; char b[8]; pipe(ends); write(ends[1], "abc", 3);
  int null = open("/dev/zero", O_RDONLY);
  int other = dup(ends[0]);
  printf("%d %d %d ", (int)read(ends[0], b, 2), (int)read(null, b, 5), (int)read(other, b, 8));
  dup2(null, other);
  printf("%d ", (int)read(other, b, 4));
  dup2(ends[0], null);
  printf("%d ", (int)read(null, b, 4));
  printf("%d ", (int)read(99, b, 4));
  printf("%d\n", errno);
  return 0; }
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    if sieve.LIBRARY.build(str(folder)) is None:
        pytest.skip("no gcc: the sieve cannot be compiled")
    return folder


@pytest.mark.parametrize("sifted", [False, True])
def test_only_what_concerns_is_answered(engine: Engine, guest: Guest, compiled: Path, sifted: bool
                                        ) -> None:  # fmt: skip
    """A descriptor is what it leads to now, not its number, whoever finds that out."""
    fifos = Fifos()
    program = guest("about", READS)
    with BySources(engine, [fifos], [program], lambda _: None) as running:
        running.folder = compiled if sifted else None
        assert running.finish() == (0, "77 5 77 4 77 -1 9\n")
    assert fifos.called.count(99) == 1  # it leads nowhere: handlers find that out
    if engine.name == "unotify":
        assert len(fifos.called) == 4


class Few(Interposer):
    """Of whose calls `count` may go on unseen once it has seen the first."""

    confines = False

    def __init__(self, count: int, other_group: bool = False, spared: bool = False) -> None:
        self.count, self.other_group, self.spared = count, other_group, spared
        self.called = 0
        self._budget = Budget()

    def budget(self) -> Budget:
        return self._budget

    @on("getppid", needs=Capability.INSPECT, budgeted=True)
    def asked(self, tracee: Tracee) -> Verdict:
        self.called += 1
        if self.called == 1:
            group = 1 if self.other_group else os.getpgid(tracee.tid)
            self._budget.grant(self.count, group, tracee.tid if self.spared else 0)
        return PASS


@pytest.mark.parametrize(("few", "unseen"), [
    (Few(3), 3), (Few(300), 9), (Few(3, other_group=True), 0), (Few(3, spared=True), 0),
], ids=["three", "all", "others", "but one"])  # fmt: skip
def test_some_calls_go_on_unseen(
    engine: Engine, guest: Guest, compiled: Path, few: Few, unseen: int
) -> None:
    """No more than was granted, and none of another's; who it was is told."""
    program = guest("few", "int main(void) { for (int i = 0; i < 10; i++) getppid(); return 5; }")
    few.called, few.budget().left = 0, 0
    few.budget().seen.clear()
    with BySources(engine, [few], [program], lambda _: None) as running:
        running.folder = compiled
        assert running.finish()[0] == 5
    seen = unseen if engine.name == "unotify" else 0
    assert (few.called, len(few.budget().seen)) == (10 - seen, seen)
    assert few.budget().left == few.count - seen
    assert len(set(few.budget().seen)) <= 1


def test_nobodys_calls_go_unseen_by_others() -> None:
    """Where another interposer wants the call as well, it is handed out."""

    class Other(Interposer):
        @on("getppid")
        def asked(self, tracee: Tracee) -> Verdict:
            return PASS

    number = BY_NAME["getppid"].number
    assert number in Policy([Few(1)]).budgets
    assert not Policy([Few(1), Other()]).budgets


HANDLER = r"""
#include <fcntl.h>
#include <signal.h>
static int zero;
static volatile sig_atomic_t go_on;
static void then(int signal) { go_on = 1; }
static void handler(int signal) {
  char b[3]; if (read(zero, b, 3) != 3) _exit(9);
  for (int i = 0; i < 20000 && !go_on; i++) usleep(1000);
}
int main(void) {
  char b[8]; struct sigaction action = { .sa_handler = handler };
  zero = open("/dev/zero", O_RDONLY);
  sigaction(SIGUSR1, &action, 0);
  signal(SIGUSR2, then);
  int got = read(0, b, 8);
  printf("%d %d ", got, errno == EINTR);
  printf("%d\n", (int)read(0, b, 8));
  return 0; }
"""


@pytest.mark.parametrize("sifted", [False, True])
def test_a_call_in_a_handler_tells_that_the_other_is_gone(
    engine: Engine, guest: Guest, compiled: Path, sifted: bool
) -> None:
    """Also a call that concerns nobody: who waits for an answer that is not wanted hears it."""
    program = guest("handler", HANDLER)
    with BySources(engine, [Fifos()], [program]) as running:
        running.folder = compiled if sifted else None
        running.asks(1)
        os.kill(running.pid, signal.SIGUSR1)
        running.until(lambda: running.host.gone)
        assert running.host.gone == [running.host.asked[0][0]] and len(running.host.asked) == 1
        os.kill(running.pid, signal.SIGUSR2)
        running.asks(2)
        second, _ = running.host.asked[1]
        assert running.session.answer(second, None)
        assert running.finish() == (0, "-1 1 77\n")


MANY = r"""
#include <fcntl.h>
#include <sys/wait.h>
int main(void) {
  char b[8]; int zero = open("/dev/zero", O_RDONLY), wrong = 0;
  for (int i = 0; i < 20; i++) if (fork() == 0) _exit(read(0, b, 8) != 77);
  for (int i = 0; i < 200; i++) wrong += read(zero, b, 8) != 8;
  for (int i = 0, status; i < 20; i++) { wait(&status); wrong += status != 0; }
  printf("%d\n", wrong);
  return 0; }
"""


@pytest.mark.parametrize("sifted", [False, True])
def test_many_that_wait(engine: Engine, guest: Guest, compiled: Path, sifted: bool) -> None:
    """More than the sieve knows by number, and the stream of calls that concern nobody goes on."""
    with BySources(engine, [Fifos()], [guest("many", MANY)]) as running:
        running.folder = compiled if sifted else None
        running.asks(20)
        for call_id, _ in running.host.asked:
            assert running.session.answer(call_id, None)
        assert running.finish() == (0, "0\n")


def test_the_sieve_waits_as_poll_does(compiled: Path) -> None:
    library = sieve.load(str(compiled))
    assert library is not None
    listener, (theirs, ours) = os.eventfd(0), os.pipe()
    poll = sieve.Sieve(library, listener, False)
    try:
        poll.register(listener, select.POLLIN)
        poll.register(theirs, select.POLLIN)
        began = time.monotonic()
        assert poll.poll(30) == []
        assert time.monotonic() - began >= 0.03
        os.write(ours, b"x")
        assert poll.poll(None) == [(theirs, select.POLLIN)]
        assert poll.poll(0) == [(theirs, select.POLLIN)]
        with pytest.raises(KeyError):
            poll.unregister(ours)
        poll.unregister(theirs)
        poll.unregister(listener)
        os.close(ours)
        assert poll.poll(0) == []
        heard: list[int] = []
        before = signal.signal(signal.SIGALRM, lambda number, _: heard.append(number))
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        try:
            assert poll.poll(DEADLINE * 1000) == []
        finally:
            signal.signal(signal.SIGALRM, before)
        assert heard == [signal.SIGALRM]
    finally:
        os.close(listener)
        os.close(theirs)


def test_compiled_is_used_only_when_it_can_be_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source" / "one.c"
    source.parent.mkdir()
    source.write_text("int one(void) { return 1; }")
    folder = tmp_path / "folder"
    folder.mkdir()
    one = Compiled((str(source),), sieve.LIBRARY.flags, ".so")
    assert one.built(str(folder)) is None
    with monkeypatch.context() as changed:
        changed.setenv("PATH", str(folder))
        assert one.build(str(folder)) is None  # no gcc
    made = one.build(str(folder))
    assert made is not None and Path(made).parent == source.parent
    other = folder / Path(made).name
    Path(made).rename(other)
    assert one.built(str(folder)) == str(other)
    other.chmod(0o775)
    assert one.built(str(folder)) is None
    other.chmod(0o755)
    source.write_text("int one(void) { return 2; } ")
    assert one.built(str(folder)) is None  # it was made of something else
    assert list(folder.iterdir()) == [other]


def test_about_is_for_the_kernel_only_where_all_agree() -> None:
    read = BY_NAME["read"].number
    fifo, sock = os.pipe()
    try:
        seen = os.fstat(fifo)
    finally:
        os.close(fifo)
        os.close(sock)
    assert read not in Policy([Fifos(), All()]).about
    assert not Policy([Others()]).about[read].concerns(seen)
    both = Policy([Others(), Fifos()]).about
    assert both[read].concerns(seen)
    assert both.keys() == {read, BY_NAME["readv"].number}
    assert both[read].register == 0


def test_about_names_an_argument() -> None:
    with pytest.raises(DeclarationError, match="fdd"):

        class Wrong(Interposer):
            @on("read", about="fdd")
            def read(self, tracee: Tracee) -> Verdict:
                return PASS
