"""A home's clients: one user cannot fill the queue that leads to the master."""

import msgspec
import pytest

from glunix.home.jobspec import output_window
from glunix.ids import NodeName, Why
from glunix.msg import client, master
from glunix.msg.job import JobSpec, Owner, PlacedProc
from glunix.state.home_effects import DaemonEffect, ToClient, ToMaster
from glunix.state.homejobs import HomeJobs

SPEC = JobSpec([b"true"], {}, b"/", 0o22, 0, [], None)
HOG, OTHER = 1, 2


@pytest.fixture
def home() -> HomeJobs:
    home = HomeJobs("home", 0, "home", 3)
    home.master_up = True
    home.client_up(HOG, Owner(1001, 1001, []))
    home.client_up(OTHER, Owner(1002, 1002, []))
    return home


def refused(effects: list[DaemonEffect]) -> bool:
    home_says = [e.message for e in effects if isinstance(e, ToClient)]
    return any(isinstance(m, client.Refused) and m.why == Why.BAD_REQUEST for m in home_says)


def asked(effects: list[DaemonEffect]) -> int:
    """The number by which the master is asked."""
    (question,) = [e.message for e in effects if isinstance(e, ToMaster)]
    assert isinstance(question, master.Place)
    return question.request


def placed(home: HomeJobs, request: int, npid: int) -> None:
    answer = master.PlacedJob(request, npid, [PlacedProc(0, NodeName("node1"))], {"node1": "x"})
    home.master_message(answer)
    home.check()


def test_requests_under_way_are_bounded_for_each_user(home: HomeJobs) -> None:
    numbers = [asked(home.client_message(HOG, client.Submit(i, SPEC))) for i in range(3)]
    assert refused(home.client_message(HOG, client.Submit(3, SPEC)))
    assert not refused(home.client_message(OTHER, client.Submit(1, SPEC)))
    home.check()
    for npid, number in enumerate(numbers, 1):
        placed(home, number, npid)  # a job counts as its request did
    assert refused(home.client_message(HOG, client.Submit(4, SPEC)))
    assert not refused(home.client_message(HOG, client.ListJobs(5)))
    assert not refused(home.client_message(HOG, client.KillJob(6, 1, None, 9)))
    home.client_down(HOG)
    home.check()


def test_what_is_over_counts_no_more(home: HomeJobs) -> None:
    for npid in range(1, 8):
        placed(home, asked(home.client_message(HOG, client.Submit(npid, SPEC))), npid)
        stream = next(iter(home._jobs[npid].streams))
        home.stream_ended(HOG, stream, "")
        home.check()
    for request in range(3):
        asked(home.client_message(HOG, client.Submit(request, SPEC)))
    home.master_down()
    home.check()
    home.master_up = True
    assert not refused(home.client_message(HOG, client.Submit(9, SPEC)))


def test_windows_of_wide_jobs_are_bounded(home: HomeJobs) -> None:
    wide = msgspec.structs.replace(SPEC, window=16 * 2**20)
    assert not refused(home.client_message(HOG, client.Submit(1, wide, 4)))
    assert refused(home.client_message(HOG, client.Submit(2, wide, 5)))
    narrow = msgspec.structs.replace(SPEC, window=output_window(4096))
    assert not refused(home.client_message(HOG, client.Submit(3, narrow, 4096)))


def test_a_lost_node_is_named_once(home: HomeJobs) -> None:
    for npid, why, left in (
        (1, "link closed", "link closed"),
        (2, "node node1 lost: silent for 6 s", "silent for 6 s"),
    ):
        placed(home, asked(home.client_message(HOG, client.Submit(npid, SPEC))), npid)
        told = home.stream_ended(HOG, next(iter(home._jobs[npid].streams)), why)
        (lost,) = [e.message for e in told if isinstance(e, ToClient)]
        assert isinstance(lost, client.StreamLost) and lost.text == f"node node1 is lost: {left}"
