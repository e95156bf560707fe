"""Handlers about a descriptor, and a session driven by its sources, on every engine."""

import os
import select
import stat
import time
from collections.abc import Callable
from typing import Any

import pytest
from slic_harness import DEADLINE, Running

from slic.engine import Engine
from slic.interposer import DeclarationError, Interposer, on
from slic.policy import Policy
from slic.syscalls import BY_NAME
from slic.tracee import Tracee
from slic.verdict import PASS, Asking, Return, Verdict

Guest = Callable[..., str]


class Fifos(Interposer):
    """Answers reads of pipes that are not fd 0 with 77, after it asked."""

    confines = False

    def __init__(self) -> None:
        self.called: list[int] = []

    def concerns(self, seen: os.stat_result) -> bool:
        return stat.S_ISFIFO(seen.st_mode)

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

    def concerns(self, seen: os.stat_result) -> bool:
        return stat.S_ISSOCK(seen.st_mode)

    @on("read", about="fd")
    def read(self, tracee: Tracee) -> Verdict:
        return PASS


class BySources(Running):
    """Steps by what `sources` gives, as a host with poll(2) does."""

    def until(self, condition: Callable[[], Any], what: str = "the condition") -> None:
        sources = self.session.sources()
        poll = select.poll()
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


def test_only_what_concerns_is_answered(engine: Engine, guest: Guest) -> None:
    """A descriptor is what it leads to now, not its number, whoever finds that out."""
    fifos = Fifos()
    program = guest("about", READS)
    with BySources(engine, [fifos], [program], lambda _: None) as running:
        assert running.finish() == (0, "77 5 77 4 77 -1 9\n")
    assert fifos.called.count(99) == 1  # it leads nowhere: handlers find that out
    if engine.name == "unotify":
        assert len(fifos.called) == 4


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
