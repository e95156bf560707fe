"""Helpers that stand for home's processes: what is told of their ends, in whatever order."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from glunix.msg.base import Message
from glunix.msg.shadows import ShadowKill
from glunix.node.processes.outbound_signals import DISMISS, FLUSH, OutboundSignals
from glunix.node.processes.signals import deliver
from glunix.node.processes.wait import changed

PROGRAM, GROUP, SIGNAL_PROXY, LEADER = 50, 45, 2, 45
KILLED, ENDED, STOPPED = int(signal.SIGKILL), 0, int(signal.SIGSTOP) << 8 | 0x7F


def wait() -> None:
    signal.pause()


@pytest.fixture
def child() -> Iterator[Callable[..., int]]:
    made = []

    def make(body: Callable[[], object] = wait) -> int:
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)  # it has the test process's pipes: it must not outlive it
            body()
            os._exit(3)
        made.append(pid)
        return pid

    yield make
    for pid in made:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # a test has


@pytest.fixture
def outbound(child: Callable[[], int]) -> tuple[OutboundSignals, dict[int, int], list[Message]]:
    """Its helpers as number -> pid, and what it told."""
    found = OutboundSignals(PROGRAM, GROUP, SIGNAL_PROXY, LEADER)
    pids = {PROGRAM: child(), SIGNAL_PROXY: child(), LEADER: child()}
    assert found.begins(pids[PROGRAM]) == os.getpgrp()
    for number, pid in list(pids.items())[1:]:
        found.stands(number, pid)
    told: list[Message] = []
    found.tell = told.append
    return found, pids, told


Made = tuple[OutboundSignals, dict[int, int], list[Message]]


@pytest.mark.parametrize("order", list(itertools.permutations((PROGRAM, SIGNAL_PROXY, LEADER))))
def test_all_are_killed_at_once(outbound: Made, order: tuple[int, ...]) -> None:
    """SIGKILL for the program's group. The helpers were reaped before we hear of anybody's end."""
    ours, pids, told = outbound
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for number in order:
        assert not ours.is_over
        ours.reaped(number, KILLED)
        ours.reaped(number, KILLED)  # by whoever reaped, and by the init after his end
    assert ours.is_over
    assert told == [ShadowKill(0, signal.SIGKILL, GROUP, [])]


def test_the_program_alone_is_killed(outbound: Made) -> None:
    ours, pids, told = outbound
    ours.reaped(PROGRAM, KILLED)
    assert os.waitpid(pids[SIGNAL_PROXY], 0)[1] == DISMISS
    ours.reaped(SIGNAL_PROXY, ENDED)
    assert not told


def test_the_herald_alone_was_killed_before(outbound: Made) -> None:
    """And the program later, by another call, which was not for the group."""
    ours, pids, told = outbound
    for number in (SIGNAL_PROXY, PROGRAM):
        os.kill(pids[number], signal.SIGKILL)
        os.waitpid(pids[number], 0)
        ours.reaped(number, KILLED)
    assert not told


def test_what_the_leader_has_heard_is_told_before_the_end(outbound: Made) -> None:
    """The program may have signalled it, and ended: nobody else knows when it says so."""
    ours, _, told = outbound
    ours.reaped(SIGNAL_PROXY, ENDED)
    ours.reaped(PROGRAM, ENDED)
    assert ours.is_asked and not ours.is_over
    ours.sent(LEADER, signal.SIGUSR1)
    ours.sent(LEADER, 0)
    assert ours.is_over
    assert told == [ShadowKill(LEADER, signal.SIGUSR1, 0, [])]


def test_a_word_of_ours_that_came_together_with_the_jobs_is_said_again(
    child: Callable[..., int],
) -> None:
    """The kernel keeps one signal of a kind: the helper has seen the job's only (signal(7))."""

    def two_words() -> None:
        mask = {FLUSH, DISMISS}
        signal.pthread_sigmask(signal.SIG_BLOCK, mask)
        os.write(ready, b"+")
        for _ in range(2):
            while signal.sigwait(mask) != DISMISS:
                pass
            os.write(ready, b"+")

    read, ready = os.pipe()
    pid = child(two_words)
    os.read(read, 1)
    ours = OutboundSignals(PROGRAM, GROUP, SIGNAL_PROXY)
    ours.stands(SIGNAL_PROXY, pid)
    ours.reaped(PROGRAM, ENDED)
    os.read(read, 1)
    ours.sent(SIGNAL_PROXY, DISMISS)
    assert os.waitpid(pid, 0)[1] == 3 << 8
    os.close(read)
    os.close(ready)


def test_who_hears_the_group_is_spared_unless_nobody_can_hear(outbound: Made) -> None:
    ours, _, told = outbound
    ours.sent(SIGNAL_PROXY, signal.SIGTERM)
    assert told == [ShadowKill(0, signal.SIGTERM, GROUP, [SIGNAL_PROXY, LEADER])]
    ours.reaped(SIGNAL_PROXY, STOPPED)
    assert told[1:] == [ShadowKill(0, signal.SIGSTOP, GROUP, [])]


def test_an_end_is_told_before_it_is_reaped(child: Callable[..., int]) -> None:
    """Who is killed before the next word has taken nothing away."""
    pid = child(lambda: None)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert next(changed({pid})) == (pid, 3 << 8)
    assert list(changed({pid})) == [(pid, 3 << 8)]
    assert list(changed({pid})) == []


def test_who_does_not_matter_is_gone_when_he_is_told_of(child: Callable[..., int]) -> None:
    """The supervisor looks then who is left, and nobody tells it to look again."""
    pid = child(lambda: None)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert next(changed(set())) == (pid, 3 << 8)
    assert not os.path.exists(f"/proc/{pid}")


def test_every_change(child: Callable[..., int]) -> None:
    pid = child()
    seen = []
    for number, options in (
        (signal.SIGSTOP, os.WSTOPPED),  # SIGTSTP stops nobody whose group is orphaned
        (signal.SIGCONT, os.WCONTINUED),
        (signal.SIGTERM, os.WEXITED),
    ):
        os.kill(pid, number)
        os.waitid(os.P_PID, pid, options | os.WNOWAIT)
        seen += list(changed({pid}))
    assert [one for one, _ in seen] == [pid] * 3
    stopped, continued, ended = (status for _, status in seen)
    assert os.WIFSTOPPED(stopped) and os.WSTOPSIG(stopped) == signal.SIGSTOP
    assert os.WIFCONTINUED(continued)
    assert os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGTERM


@pytest.mark.parametrize("word", [DISMISS, FLUSH])
def test_no_helper_takes_homes_signal_for_a_word(outbound: Made, word: int) -> None:
    """In a group with its helpers the program gets it, and they do not."""
    found, pids, _ = outbound
    assert found.pids == {pids[SIGNAL_PROXY], pids[LEADER]}
    deliver(word, os.getpgrp(), 0, False, found.pids)
    _, status = os.waitpid(pids[PROGRAM], 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == word
    for number in (SIGNAL_PROXY, LEADER):
        assert os.waitpid(pids[number], os.WNOHANG) == (0, 0)
