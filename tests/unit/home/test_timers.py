"""glunix.home.timers: what is done when time is over, and that it is done once."""

import signal
import time

import pytest

from glunix.home.jobview import JobView
from glunix.home.timers import HEARD_AFTER, KILL_AFTER, TimeLimit, Unheard, Unstarted


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)


def test_a_limit_asks_first_and_then_kills() -> None:
    sent: list[int] = []
    limit = TimeLimit(3.0, sent.append)
    assert limit.at == 103.0
    limit.due()
    assert sent == [signal.SIGTERM, signal.SIGCONT]
    assert limit.at == 100.0 + KILL_AFTER
    limit.due()
    assert sent[2:] == [signal.SIGKILL]
    assert limit.at is None


def test_a_job_that_starts_in_time_is_not_given_up() -> None:
    job = JobView(7, [(1, "node1", [0])])
    late = Unstarted(signal.SIGTERM, job)
    next(iter(job.processes.values())).started = True
    late.due()
    assert job.live()
    other = JobView(8, [(1, "node1", [0])])
    Unstarted(signal.SIGTERM, other).due()
    assert (other.live(), other.status()) == ([], 143)


def test_a_job_is_given_up_when_one_of_its_nodes_is_silent() -> None:
    given_up: list[tuple[int, int]] = []
    asked = Unheard(signal.SIGTERM, {1, 2}, lambda *what: given_up.append(what))
    assert asked.at == 100.0 + HEARD_AFTER
    asked.heard(1)
    assert asked.at is not None
    asked.due()
    assert given_up == [(signal.SIGTERM, 2)]
    assert asked.at is None


def test_a_job_whose_nodes_all_answer_is_left_alone() -> None:
    asked = Unheard(signal.SIGTERM, {1, 2}, lambda *_: pytest.fail("given up"))
    asked.heard(2)
    asked.heard(1)
    assert asked.at is None
