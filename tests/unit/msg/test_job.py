"""What a job's messages mean: how it ended as one exit status, and how much may be under way."""

import pytest

from glunix.msg.job import (
    LOST_STATUS,
    WINDOW_MIN,
    WINDOWS_MAX,
    JobRow,
    ProcRow,
    exit_status,
    fair_window,
    status_of,
)


def row(state: str, *ends: tuple[int, int]) -> JobRow:
    procs = [ProcRow(vnn, "node1", 7, state, *end) for vnn, end in enumerate(ends)]
    return JobRow(1, 0, "home", "true", max(len(ends), 1), False, state, 0.0, 1.0, "", procs)


def test_a_signal_is_told_as_shells_do() -> None:
    assert exit_status(3, 0) == 3
    assert exit_status(0, 9) == 137


@pytest.mark.parametrize(
    ("job", "status"),
    [
        (row("exited"), 0),
        (row("exited", (0, 0), (3, 0)), 3),
        (row("exited", (200, 0), (0, 15)), 200),
        (row("lost", (0, 0)), LOST_STATUS),
        (row("lost", (0, 9)), 137),
        (row("killed", (0, 15), (1, 0)), 143),
        (row("killed"), 143),  # removed from the queue
        (row("killed", (0, 0)), 125),  # it never began
    ],
)
def test_a_row_has_one_status(job: JobRow, status: int) -> None:
    assert status_of(job, 125) == status


def test_a_reader_who_has_stopped_holds_as_much_of_a_large_job() -> None:
    assert fair_window(1, 1 << 20) == 1 << 20
    assert fair_window(4096, 1 << 20) == max(WINDOW_MIN, WINDOWS_MAX // 4096)
