"""glups and its limits; the dispatch of messages."""

from glunix.msg.base import encode
from glunix.msg.frame import BODY_MAX
from glunix.msg.job import JobRow
from glunix.msg.master import (
    DaemonToMaster,
    JobOver,
    JobsQuery,
    JobsTable,
    Leave,
    NodeHello,
    Renew,
)
from glunix.state.master import HANDLERS
from glunix.state.pdb import HISTORY
from unit.state.cluster import UID, Cluster


def ask(cluster: Cluster, everything: bool = False, uid: int = UID) -> JobsTable:
    cluster.says("home", JobsQuery(4, uid, everything))
    [(to, table)] = cluster.told()
    assert to == "home"
    assert isinstance(table, JobsTable)
    assert table.request == 4
    assert len(encode(table)) < BODY_MAX
    return table


def npids(rows: list[JobRow]) -> list[int]:
    return [row.npid for row in rows]


def test_own_running_jobs_or_everything() -> None:
    cluster = Cluster("home", "node1")
    cluster.start()
    cluster.exits(cluster.start())
    cluster.start(uid=UID + 1)
    cluster.start()
    cluster.says("home", JobOver(4))
    assert npids(ask(cluster).rows) == [1]
    assert npids(ask(cluster, uid=UID + 1).rows) == [3]
    assert ask(cluster, uid=5).rows == []
    assert npids(ask(cluster, everything=True, uid=5).rows) == [1, 2, 3, 4]
    states = [row.state for row in ask(cluster, everything=True).rows]
    assert states == ["running", "exited", "running", "ending"]


def test_the_last_ended_jobs_only() -> None:
    cluster = Cluster("home", "node1")
    for _ in range(HISTORY + 5):
        cluster.exits(cluster.start())
    rows = ask(cluster, everything=True).rows
    assert npids(rows) == list(range(6, HISTORY + 6))
    assert sorted(cluster.journal) == npids(rows)


def test_more_than_a_frame_holds_is_left_off_and_counted() -> None:
    cluster = Cluster("home", "n" * 64, processes_each=8 * 4096)
    for _ in range(8):
        cluster.place(4096, command="\U0001f600" * 4096)
    table = ask(cluster)
    assert table.left_off > 0
    assert len(table.rows) + table.left_off == 8


def test_every_message_has_one_handler() -> None:
    assert set(HANDLERS) == set(DaemonToMaster.__args__) - {NodeHello, Renew, Leave}
