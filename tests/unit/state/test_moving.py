"""Jobs that move between nodes, in the master's books and in a home's: who may, and where."""

import msgspec
import pytest

from glunix.ids import NodeName, Why
from glunix.msg import client, master
from glunix.msg.base import Message
from glunix.msg.job import JobSpec, Owner, PlacedProc
from glunix.msg.master import MayMove, MoveQuery, ProcExited, ProcMoved, ProcStarted, ProcStopped
from glunix.state.home_effects import BeginMove, DaemonEffect, ToClient, ToMaster
from glunix.state.homejobs import HomeJobs
from unit.state.cluster import UID, Cluster

SPEC = JobSpec([b"vim"], {}, b"/", 0o22, 0, [], None, transparent=True)
USER, OTHER, ROOT = 1, 2, 3


def running_job() -> Cluster:
    """Job 1 of `home` runs on node1."""
    cluster = Cluster("home", "node1", "node2")
    cluster.place()
    cluster.says("node1", ProcStarted(1, 0, 42))
    assert cluster.job(1).procs[0].node == "node1"
    return cluster


def where(cluster: Cluster) -> tuple[str, int, str]:
    row = cluster.job(1)
    return row.procs[0].node, row.procs[0].pid, row.state


def test_the_books_follow_a_move() -> None:
    cluster = running_job()
    cluster.says("home", MoveQuery(7, UID, 1, 0, ""))
    cluster.says("home", ProcMoved(1, 0, "node2", 77))
    assert where(cluster) == ("node2", 77, "running")
    cluster.says("node1", ProcStopped(1, 0, 20))  # said before it left, and late
    assert where(cluster) == ("node2", 77, "running")
    assert cluster.closed == []
    cluster.says("node2", ProcExited(1, 0, 3, 0))
    assert cluster.job(1).state == "exited"


def test_the_destination_may_speak_before_the_home() -> None:
    cluster = running_job()
    cluster.says("home", MoveQuery(7, UID, 1, 0, "node2"))
    cluster.says("node2", ProcExited(1, 0, 0, 0))
    assert cluster.job(1).state == "exited"
    assert cluster.closed == []


def test_nobody_else_speaks_for_a_job_that_is_to_move() -> None:
    cluster = running_job()
    cluster.says("node2", ProcExited(1, 0, 0, 0))  # nobody sent it there
    assert where(cluster)[0] == "node1"
    assert len(cluster.closed) == 1


def test_a_job_that_stayed_is_lost_with_its_node() -> None:
    cluster = running_job()
    cluster.says("home", MoveQuery(7, UID, 1, 0, "node2"))
    cluster.says("home", ProcMoved(1, 0, "node1", 0))
    assert where(cluster) == ("node1", 42, "running")
    cluster.down("node1")
    assert cluster.job(1).state in ("ending", "killed", "lost")


def test_a_job_may_have_left_a_node_that_is_lost() -> None:
    cluster = running_job()
    cluster.says("home", MoveQuery(7, UID, 1, 0, "node2"))
    cluster.down("node1")
    assert where(cluster) == ("node2", 42, "running")
    cluster.says("home", ProcMoved(1, 0, "node2", 77))
    assert where(cluster) == ("node2", 77, "running")


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (MoveQuery(7, UID + 1, 1, 0, ""), Why.NOT_YOURS),
        (MoveQuery(7, UID, 2, 0, ""), Why.NO_JOB),
        (MoveQuery(7, UID, 1, 1, ""), Why.NO_JOB),
        (MoveQuery(7, UID, 1, 0, "node1"), Why.BAD_REQUEST),
        (MoveQuery(7, UID, 1, 0, "nowhere"), Why.BAD_REQUEST),
    ],
)
def test_what_the_master_refuses(ask: MoveQuery, why: Why) -> None:
    cluster = running_job()
    cluster.told()
    cluster.says("home", ask)
    ((to, answer),) = cluster.told()
    assert to == "home"
    assert isinstance(answer, master.RequestRefused) and answer.why == why


# -- a home ------------------------------------------------------------------------------------


@pytest.fixture
def home() -> HomeJobs:
    """Job 5 of USER runs on node1."""
    home = HomeJobs("home", 0, "home", 9)
    home.master_up = True
    for link, uid in ((USER, 1001), (OTHER, 1002), (ROOT, 0)):
        home.client_up(link, Owner(uid, uid, []))
    submit(home, SPEC, 5)
    return home


def submit(home: HomeJobs, spec: JobSpec, npid: int) -> None:
    effects = home.client_message(USER, client.Submit(1, spec))
    (question,) = [e.message for e in effects if isinstance(e, ToMaster)]
    assert isinstance(question, master.Place)
    answer = master.PlacedJob(
        question.request, npid, [PlacedProc(0, NodeName("node1"))], {"node1": "x"}
    )
    home.master_message(answer)
    home.dialled(npid, next(iter(home._jobs[npid].streams)))
    home.check()


def answers(effects: list[DaemonEffect]) -> list[Message]:
    return [e.message for e in effects if isinstance(e, ToClient)]


def begun(home: HomeJobs, link: int) -> BeginMove:
    effects = home.client_message(link, client.MoveJob(3, 5, None, "node2"))
    (question,) = [e.message for e in effects if isinstance(e, ToMaster)]
    assert isinstance(question, master.MoveQuery)
    (begin,) = home.master_message(MayMove(question.request, "node2", "y", 5, 0))
    assert isinstance(begin, BeginMove)
    home.check()
    return begin


@pytest.mark.parametrize("link", [USER, ROOT])
def test_a_move_is_begun_told_and_counted(home: HomeJobs, link: int) -> None:
    begin = begun(home, link)
    assert (begin.node, begin.epoch, begin.start.spec.argv) == ("node2", 1, [b"vim"])
    again = answers(home.client_message(link, client.MoveJob(4, 5)))
    assert [type(one) for one in again] == [client.Refused]  # one at a time
    effects = home.move_over(begin, True, 77, "")
    assert ToMaster(master.ProcMoved(5, 0, "node2", 77)) in effects
    assert answers(effects) == [client.Moved(3, "node2")]
    assert begun(home, link).epoch == 2
    (lost,) = [e for e in home.stream_ended(USER, begin.stream, "gone") if isinstance(e, ToClient)]
    assert isinstance(lost.message, client.StreamLost) and lost.message.node == "node2"


def test_a_move_that_came_to_nothing(home: HomeJobs) -> None:
    begin = begun(home, USER)
    effects = home.move_over(begin, False, 0, "fd 3: a device")
    assert answers(effects) == [client.Refused(3, Why.BAD_REQUEST, "fd 3: a device")]
    assert ToMaster(master.ProcMoved(5, 0, "node1", 0)) in effects


@pytest.mark.parametrize(
    ("link", "ask", "why"),
    [
        (OTHER, client.MoveJob(3, 5), Why.NOT_YOURS),
        (OTHER, client.MoveJob(3, 5, explain=True), Why.NOT_YOURS),
        (USER, client.MoveJob(3, 6), Why.NO_JOB),
        (USER, client.MoveJob(3, 5, 1), Why.NO_JOB),
        (USER, client.MoveJob(3, 5, engine="criu"), Why.BAD_REQUEST),
        (USER, client.MoveJob(3, 8), Why.BAD_REQUEST),
        (USER, client.MoveJob(3, 9), Why.BAD_REQUEST),
    ],
)
def test_what_a_home_refuses(home: HomeJobs, link: int, ask: client.MoveJob, why: Why) -> None:
    submit(home, msgspec.structs.replace(SPEC, transparent=False), 8)
    submit(home, msgspec.structs.replace(SPEC, stays=True), 9)
    (answer,) = answers(home.client_message(link, ask))
    assert isinstance(answer, client.Refused) and answer.why == why
