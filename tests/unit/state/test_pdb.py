"""Pdb: NPIDs, process and job states, history, journal rows."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glunix.debug import Bug, IllegalTransition, InvariantBroken, Story
from glunix.ids import NPID_MAX, NodeName, Npid, Vnn
from glunix.msg.job import JobRow, ProcRow
from glunix.state import pdb as module
from glunix.state.jobs import JOB_MOVES, PROC_MOVES, Job, JobState, ProcState
from glunix.state.pdb import Pdb

P = ProcState


def job(npid: int, degree: int = 1) -> Job:
    return Job(Npid(npid), 1000, NodeName("home"), "cmd", degree, False, 1.0)


def pdb_with(*degrees: int) -> Pdb:
    pdb = Pdb(Story())
    for degree in degrees:
        nodes = [NodeName(f"node{vnn + 1}") for vnn in range(degree)]
        pdb.add(job(pdb.allocate(), degree), nodes, 1.0)
    pdb.check()
    return pdb


def go(pdb: Pdb, npid: int, vnn: int, *states: ProcState) -> None:
    proc = pdb.jobs[Npid(npid)].procs[Vnn(vnn)]
    for state in states:
        pdb.move(proc, state, 2.0)
        pdb.check()


def test_npids_are_never_zero_and_wrap() -> None:
    pdb = Pdb(Story())
    assert [pdb.allocate() for _ in range(3)] == [1, 2, 3]
    pdb.last_npid = NPID_MAX - 1
    assert [pdb.allocate() for _ in range(2)] == [NPID_MAX, 1]


def test_known_npids_are_not_given_again() -> None:
    pdb = pdb_with(1, 1, 1)
    go(pdb, 2, 0, P.EXITED)
    pdb.last_npid = NPID_MAX
    assert pdb.allocate() == 4


@given(st.sets(st.integers(1, 40)), st.integers(0, 45))
def test_allocated_npids_are_new(live: set[int], last: int) -> None:
    pdb = Pdb(Story())
    for npid in live:
        pdb.add(job(npid), [NodeName("node1")], 0.0)
    pdb.last_npid = last
    given_out = []
    for _ in range(5):
        npid = pdb.allocate()
        pdb.add(job(npid), [NodeName("node1")], 0.0)
        given_out.append(npid)
    pdb.check()
    assert len(set(given_out) | live) == len(live) + 5


@pytest.mark.parametrize(
    ("path", "states"),
    [
        ([(0, P.RUNNING)], "starting"),
        ([(0, P.RUNNING), (1, P.RUNNING)], "running"),
        ([(0, P.RUNNING), (0, P.STOPPED)], "starting"),
        ([(0, P.RUNNING), (1, P.RUNNING), (0, P.STOPPED)], "running"),
        ([(0, P.RUNNING), (1, P.RUNNING), (0, P.STOPPED), (1, P.STOPPED)], "stopped"),
        ([(0, P.RUNNING), (1, P.EXITED), (0, P.STOPPED)], "stopped"),
        ([(0, P.EXITED)], "starting"),
        ([(0, P.EXITED), (1, P.EXITED)], "exited"),
        ([(0, P.EXITED), (1, P.KILLED)], "killed"),
        ([(0, P.KILLED), (1, P.LOST)], "lost"),
    ],
)
def test_what_the_processes_say_of_the_job(path: list[tuple[int, ProcState]], states: str) -> None:
    pdb = pdb_with(2)
    for vnn, state in path:
        go(pdb, 1, vnn, state)
    [row], _ = pdb.take_changes()
    assert row.state == states
    assert (row.ended > 0) == (states in ("exited", "killed", "lost"))


def test_tables_name_every_state_and_only_ends_are_ends() -> None:
    assert set(PROC_MOVES) == set(ProcState)
    assert set(JOB_MOVES) == set(JobState)
    ends = {"exited", "killed", "lost"}
    assert {state.value for state, after in PROC_MOVES.items() if not after} == ends
    assert {state.value for state, after in JOB_MOVES.items() if not after} == ends


def every_move() -> Iterator[tuple[ProcState, ProcState]]:
    for before in ProcState:
        for after in ProcState:
            if after not in PROC_MOVES[before]:
                yield before, after


@pytest.mark.parametrize(("before", "after"), list(every_move()))
def test_every_other_move_is_a_bug_with_a_story(before: ProcState, after: ProcState) -> None:
    pdb = pdb_with(2)
    paths: dict[ProcState, list[ProcState]] = {
        P.PLACED: [],
        P.STOPPED: [P.RUNNING, P.STOPPED],
    }
    go(pdb, 1, 0, *paths.get(before, [before]))
    with pytest.raises(IllegalTransition, match=rf"1\.0 cannot go from {before} to {after}\n") as e:
        go(pdb, 1, 0, after)
    assert "2-way 'cmd'" in str(e.value)


def test_history_is_bounded_and_the_journal_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HISTORY", 2)
    pdb = pdb_with(1, 1, 1, 1)
    pdb.take_changes()
    for npid in (3, 1, 2):
        go(pdb, npid, 0, P.EXITED)
    rows, forgotten = pdb.take_changes()
    assert [row.npid for row in rows] == [1, 2]
    assert forgotten == [3]
    assert list(pdb.ended) == [1, 2]
    assert pdb.take_changes() == ([], [])


def test_the_first_reason_stays() -> None:
    pdb = pdb_with(1)
    [one] = pdb.jobs.values()
    pdb.blame(one, "")
    pdb.blame(one, "x" * 5000)
    pdb.blame(one, "later")
    assert len(one.reason) == 4096
    assert one.reason.startswith("xxx")


def row(npid: int, state: str, *procs: ProcRow, degree: int = 1, started: float = 1.0) -> JobRow:
    ended = 9.0 if state in ("exited", "killed", "lost") else 0.0
    return JobRow(npid, 1, "home", "cmd", degree, False, state, started, ended, "", list(procs))


def test_restore() -> None:
    pdb = Pdb(Story())
    rows = [
        row(1, "exited", ProcRow(0, "node1", 5, "exited", 3)),
        row(NPID_MAX, "running", ProcRow(0, "node1", 5, "running"), started=7.0),
        row(3, "stopped", ProcRow(0, "node2", 6, "stopped")),
    ]
    jobs, faults = pdb.restore(rows, 10.0)
    pdb.check()
    assert faults == []
    assert [(one.npid, one.state.value) for one in jobs] == [(3, "stopped"), (NPID_MAX, "running")]
    assert [proc.npid for proc in pdb.on_node(NodeName("node1"))] == [NPID_MAX]
    assert pdb.allocate() == 2  # after the newest job, round, not 1 which is remembered
    assert pdb.take_changes() == ([], [])


def test_processes_stand_above_the_word_of_their_row() -> None:
    pdb = Pdb(Story())
    procs = [ProcRow(0, "node1", 5, "stopped"), ProcRow(1, "node1", 6, "exited")]
    [one], _ = pdb.restore([row(1, "running", *procs, degree=2)], 1.0)
    pdb.check()
    assert one.state is JobState.STOPPED


def test_an_incomplete_job_waits_for_reports_unless_its_end_is_decided() -> None:
    pdb = Pdb(Story())
    going = row(1, "running", ProcRow(0, "node1", 5, "exited"), degree=2)
    ending = row(2, "ending", ProcRow(0, "node1", 5, "running"), degree=2)
    jobs, _ = pdb.restore([going, ending], 1.0)
    pdb.check()
    assert [(one.npid, one.state.value, one.settling) for one in jobs] == [
        (1, "running", True),
        (2, "ending", False),
    ]


def test_an_npid_that_is_known_is_never_added() -> None:
    pdb = pdb_with(1, 1)
    go(pdb, 1, 0, P.EXITED)
    for npid in (1, 2):
        with pytest.raises(Bug, match=f"NPID {npid} is taken"):
            pdb.add(job(npid), [NodeName("node1")], 1.0)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (row(0, "running", ProcRow(0, "n", 1, "running")), "bad NPID"),
        (row(5, "sleeping", ProcRow(0, "n", 1, "running")), "'sleeping' is not a valid JobState"),
        (row(5, "running", ProcRow(0, "n", 1, "?")), "'?' is not a valid ProcState"),
        (row(5, "running", ProcRow(1, "n", 1, "running")), "bad VNN 1"),
        (row(5, "running", ProcRow(-1, "n", 1, "running")), "bad VNN -1"),
        (row(5, "running", *[ProcRow(0, "n", 1, "running")] * 2, degree=2), "bad VNN 0"),
        (row(5, "exited", ProcRow(0, "n", 1, "running")), "exited with live processes"),
        (row(5, "running", ProcRow(0, "n", 1, "exited")), "running without live processes"),
    ],
)
def test_rows_that_make_no_sense_are_named_and_forgotten(bad: JobRow, text: str) -> None:
    pdb = Pdb(Story())
    good = row(6, "running", ProcRow(0, "node1", 1, "running"))
    jobs, [fault] = pdb.restore([bad, good], 1.0)
    pdb.check()
    assert [one.npid for one in jobs] == [6]
    assert text in fault
    assert pdb.take_changes() == ([], [bad.npid])


def test_check_finds_what_is_wrong() -> None:
    pdb = pdb_with(1)
    pdb.jobs[Npid(1)].procs[Vnn(0)].state = P.RUNNING
    with pytest.raises(InvariantBroken, match=r"bad job(.|\n)*1-way 'cmd'"):
        pdb.check()
    pdb = pdb_with(1)
    pdb.by_node[NodeName("node9")] = dict(pdb.by_node[NodeName("node1")])
    with pytest.raises(InvariantBroken, match="processes of no job"):
        pdb.check()
