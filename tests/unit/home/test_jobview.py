"""glunix.home.jobview: what the ends of its processes make of a job."""

import pytest

from glunix.errors import FrameError
from glunix.home.jobview import JobView, placed_streams


def job(degree: int = 3) -> JobView:
    return JobView(7, [(1, "node1", list(range(degree)))])


def test_an_mpi_job_has_the_status_of_the_rank_that_ended_it() -> None:
    found = job()
    first, second, third = found.processes.values()
    found.exited(second, 7, 0, aborts=True)
    found.exited(first, 15, 0, aborts=True)  # it found its partner gone
    found.exited(third, 7, 0, aborts=True)
    assert found.status() == 7


def test_else_the_highest_status_is_the_jobs() -> None:
    found = job()
    for process, (code, signal) in zip(found.processes.values(), [(3, 0), (0, 9), (1, 0)]):  # noqa: B905
        found.exited(process, code, signal)
    assert found.status() == 137
    assert not found.interrupted


def test_a_job_is_interrupted_when_all_of_it_was() -> None:
    found = job(2)
    for process in found.processes.values():
        assert not found.interrupted
        found.exited(process, 0, 2)
    assert found.interrupted
    assert found.live() == []


def test_a_job_is_stopped_when_all_that_lives_is() -> None:
    found = job(2)
    first, second = found.processes.values()
    first.stopped = 19
    assert found.stopped_by() == 0
    found.exited(second, 0, 0)
    assert found.stopped_by() == 19
    found.goes_on()
    assert found.stopped_by() == 0


def test_what_is_no_placement_is_a_fault() -> None:
    assert placed_streams(["placed", 1, 7, [[1, "node1", [0, 1]]]]) == [(1, "node1", [0, 1])]
    with pytest.raises(FrameError):
        placed_streams(["placed", 1, 7, [[1, "node1", 0]]])
