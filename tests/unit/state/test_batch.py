"""The queue of batch jobs in the master: nothing lost, nothing run twice, nobody starved."""

import random
from typing import Any

import msgspec
import pytest

from glunix.ids import Npid
from glunix.msg.batch import (
    Array,
    AskJobAt,
    EnqueueAt,
    HoldAt,
    JobFactsAt,
    Launch,
    Need,
    NotLaunched,
    Queued,
    Sealed,
    Terms,
)
from glunix.msg.job import JobRow
from glunix.msg.master import (
    JobOver,
    JobsQuery,
    JobsTable,
    KillDone,
    KillOrder,
    KillRequest,
    LoadReport,
    ProcExited,
    ProcStarted,
    RequestRefused,
)
from glunix.state.core import BatchRules
from tests.unit.state.cluster import UID, Cluster, hello, home_job

SEAL = b"s" * 16


def enqueue(*terms: Terms, uid: int = UID, request: int = 1) -> EnqueueAt:
    return EnqueueAt(request, uid, b"around", SEAL, [Sealed(t, b"task", SEAL) for t in terms])


def terms(**given: Any) -> Terms:
    need = {k: given.pop(k) for k in ("degree", "cpus", "memory", "nodes", "exclude") if k in given}
    return Terms(**{"command": "work", "need": Need(**need), **given})


class Batched(Cluster):
    """A cluster of which home submits; each launch is answered by hand."""

    def queued(self, *asked: Terms, **given: Any) -> list[int]:
        self.says("home", enqueue(*asked, **given))
        found: list[int] = []
        rest = []
        for to, message in self.told():
            if isinstance(message, Queued):
                found = list(message.npids)
            else:
                rest.append((to, message))
        self.unseen = rest
        assert found, rest
        return found

    def launches(self) -> list[Launch]:
        return [message for _, message in self.told() if isinstance(message, Launch)]

    def ends(self, launch: Launch, code: int = 0, signal: int = 0) -> None:
        for proc in launch.procs:
            self.says(proc.node, ProcStarted(launch.npid, proc.vnn, 100 + proc.vnn))
        for proc in launch.procs:
            self.says(proc.node, ProcExited(launch.npid, proc.vnn, code, signal))
        self.says("home", JobOver(launch.npid))


def test_idle_processors_are_filled_and_no_more() -> None:
    cluster = Batched("home", "node1", "node2")  # two processors each
    npids = cluster.queued(*[terms() for _ in range(6)])
    running = cluster.launches()
    assert [launch.npid for launch in running] == npids[:4]
    assert (
        sorted(p.node for launch in running for p in launch.procs) == ["node1"] * 2 + ["node2"] * 2
    )
    cluster.ends(running[0])
    assert [launch.npid for launch in cluster.launches()] == [npids[4]]


def test_the_load_of_others_comes_first() -> None:
    cluster = Batched("home", "node1")
    cluster.says("node1", LoadReport(1.0, 1 << 30))
    cluster.queued(terms(), terms())
    assert len(cluster.launches()) == 1
    # The load average that our own job makes is not taken for somebody else's.
    cluster.now += 600
    cluster.says("node1", LoadReport(1.0, 1 << 30))
    assert len(cluster.launches()) == 1


def test_an_interactive_job_takes_a_seat_at_once() -> None:
    cluster = Batched("home", "node1")
    cluster.start()
    cluster.queued(terms(), terms())
    assert len(cluster.launches()) == 1


def test_an_array_is_one_entry_of_which_so_many_run() -> None:
    cluster = Batched("home", "node1", "node2")
    [array] = cluster.queued(terms(array=Array(1, 5, 1, 2)))
    seen, running = [], cluster.launches()
    while running:
        assert len(running) <= 2
        launch = running.pop(0)
        assert launch.entry == array != launch.npid
        seen.append(launch.index)
        cluster.ends(launch)
        running += cluster.launches()
    assert seen == [1, 2, 3, 4, 5]
    assert not cluster.queue and not cluster.surroundings
    assert cluster.journal[array].state == "exited"


def test_what_comes_after_waits_for_the_end() -> None:
    cluster = Batched("home", "node1")
    [first] = cluster.queued(terms())
    [launch] = cluster.launches()
    [second] = cluster.queued(terms(after=[first]))
    assert cluster.launches() == []
    cluster.ends(launch, code=3)
    assert [launch.npid for launch in cluster.launches()] == [second]
    cluster.says("home", enqueue(terms(after=[9999])))
    [(_, refused)] = cluster.told()
    assert isinstance(refused, RequestRefused) and "9999" in refused.text


@pytest.mark.parametrize("cut", [False, True])
def test_retries_are_counted(cut: bool) -> None:
    cluster = Batched("home", "node1")
    [npid] = cluster.queued(terms(retry=2))
    for _ in range(3):
        [launch] = cluster.launches()
        assert launch.entry == npid
        if cut:
            cluster.down("node1")
            cluster.says("home", JobOver(launch.npid, "node1 is lost"))
            cluster.connect("node1")
            cluster.says("node1", hello("node1"))
        else:
            cluster.ends(launch, code=1)
    assert cluster.launches() == []
    assert not cluster.queue
    assert cluster.journal[npid].state == ("killed" if cut else "exited")


def test_killed_by_its_user_is_not_retried() -> None:
    cluster = Batched("home", "node1")
    [npid] = cluster.queued(terms(retry=2))
    [launch] = cluster.launches()
    cluster.says("node1", ProcStarted(npid, 0, 100))
    cluster.says("home", KillRequest(7, UID, npid, None, 15))
    orders = [m for _, m in cluster.told()]
    assert KillOrder(npid, [0], 15) in orders and KillDone(7, 1) in orders
    cluster.says("node1", ProcExited(npid, 0, 0, 15))
    assert cluster.launches() == [] and not cluster.queue
    assert launch.npid == npid


def test_a_queued_job_is_removed_held_and_released() -> None:
    cluster = Batched("home", "node1")
    cluster.says("node1", LoadReport(2.0, 1 << 30))
    first, second = cluster.queued(terms(), terms())
    cluster.says("home", KillRequest(7, UID + 1, first, None, 15))
    [(_, refused)] = cluster.told()
    assert isinstance(refused, RequestRefused) and refused.why == "not-yours"
    cluster.says("home", KillRequest(7, UID, first, None, 15))
    assert cluster.told() == [("home", KillDone(7, 1))]
    assert cluster.journal[first].state == "killed"
    cluster.says("home", HoldAt(8, UID, second, True))
    cluster.says("node1", LoadReport(0.0, 1 << 30))
    assert cluster.launches() == []
    cluster.says("home", HoldAt(9, UID, second, False))
    assert [launch.npid for launch in cluster.launches()] == [second]


def test_users_take_turns_by_what_they_used() -> None:
    cluster = Batched("home", "node1")
    cluster.queued(*[terms() for _ in range(4)])
    first = cluster.launches()
    cluster.queued(*[terms() for _ in range(4)], uid=UID + 1)
    cluster.now += 100
    cluster.ends(first[0])
    cluster.ends(first[1])
    owners = [cluster.job(launch.npid).uid for launch in cluster.launches()]
    assert owners == [UID + 1, UID + 1]


def test_a_large_job_does_not_starve() -> None:
    cluster = Batched("home", "node1", rules=BatchRules(patience=60))
    cluster.queued(terms())
    [running] = cluster.launches()
    [large] = cluster.queued(terms(cpus=2))
    small = cluster.queued(*[terms() for _ in range(3)])
    [other] = cluster.launches()
    assert other.npid == small[0]  # it lets others pass
    cluster.wait(61, alive=["home", "node1"])
    cluster.ends(running)
    assert cluster.launches() == []  # the node is kept
    cluster.ends(other)
    assert [launch.npid for launch in cluster.launches()] == [large]


def test_memory_processors_and_nodes_are_respected_and_explained() -> None:
    cluster = Batched("home", "node1", "node2")
    some = cluster.queued(
        terms(memory=64 << 30), terms(cpus=4), terms(nodes=("node2",)), terms(degree=2, cpus=2)
    )
    launched = cluster.launches()
    assert [p.node for p in launched[0].procs] == ["node2"] and len(launched) == 1
    for npid, word in zip(some, ("memory", "4 processors", "runs", "idle"), strict=True):
        cluster.says("home", AskJobAt(3, UID, npid))
        [(_, facts)] = cluster.told()
        assert isinstance(facts, JobFactsAt) and word in facts.why, facts
    cluster.says("home", enqueue(terms(nodes=("nowhere",))))
    [(_, refused)] = cluster.told()
    assert isinstance(refused, RequestRefused) and "nowhere" in refused.text


def test_background_jobs_leave_when_others_come_and_run_again() -> None:
    cluster = Batched("home", "node1")
    one, two = cluster.queued(terms(background=True), terms(background=True))
    for launch in cluster.launches():
        cluster.says("node1", ProcStarted(launch.npid, 0, 100 + launch.npid))
    cluster.says("node1", LoadReport(4.0, 1 << 30))
    ended = [m.npid for _, m in cluster.told() if isinstance(m, KillOrder)]
    assert ended == [two, one]
    for npid in ended:
        cluster.says("node1", ProcExited(npid, 0, 0, 9))
    assert cluster.launches() == [] and set(cluster.queue) == {one, two}
    cluster.now += 600
    cluster.says("node1", LoadReport(0.0, 1 << 30))
    assert {launch.entry for launch in cluster.launches()} == {one, two}


def test_a_time_limit_ends_a_run_for_good() -> None:
    cluster = Batched("home", "node1")
    [npid] = cluster.queued(terms(seconds=5.0, retry=3))
    [launch] = cluster.launches()
    cluster.says("node1", ProcStarted(npid, 0, 100))
    cluster.wait(6, alive=["home", "node1"])
    assert KillOrder(npid, [], 9) in [m for _, m in cluster.told()]
    cluster.says("node1", ProcExited(launch.npid, 0, 0, 9))
    assert "time limit" in cluster.journal[npid].reason and not cluster.queue


def test_home_that_cannot_begin_says_so() -> None:
    cluster = Batched("home", "node1")
    [npid] = cluster.queued(terms())
    for _ in range(5):
        [launch] = cluster.launches()
        cluster.says("home", NotLaunched(launch.npid, "no process"))
        assert launch.entry == npid
    assert cluster.launches() == []
    assert cluster.journal[npid].reason == "no process"


def test_who_waits_hears_the_end_of_the_last_run() -> None:
    cluster = Batched("home", "node1")
    [npid] = cluster.queued(terms(retry=1))
    cluster.says("home", AskJobAt(5, UID, npid, True))
    for code in (1, 0):
        [launch] = cluster.launches()
        assert not any(isinstance(m, JobFactsAt) for _, m in cluster.unseen)
        cluster.ends(launch, code=code)
    [facts] = [m for _, m in cluster.told() if isinstance(m, JobFactsAt)]
    assert facts.request == 5 and facts.row.state == "exited"


def test_the_table_shows_places() -> None:
    cluster = Batched("home", "node1")
    npids = cluster.queued(*[terms() for _ in range(4)])
    cluster.launches()
    cluster.says("home", JobsQuery(4, UID, False))
    [(_, table)] = cluster.told()
    assert isinstance(table, JobsTable)
    places = {row.npid: (row.state, row.place) for row in table.rows}
    assert places == {
        npids[0]: ("placed", 0),
        npids[1]: ("placed", 0),
        npids[2]: ("queued", 1),
        npids[3]: ("queued", 2),
    }


def restarted(cluster: Batched) -> Batched:
    return Batched(rows=cluster.rows(), queued=list(cluster.queue.values()))


@pytest.mark.parametrize("told", [False, True])
def test_a_launch_that_a_restart_swallowed_happens_once(told: bool) -> None:
    cluster = Batched("home", "node1")
    [npid] = cluster.queued(terms())
    again = restarted(cluster)
    again.connect("home")
    again.says("home", hello("home", homes=[home_job(npid)] if told else []))
    again.connect("node1")
    again.says("node1", hello("node1"))
    launched = [launch.entry for launch in again.launches()]
    assert launched == ([] if told else [npid])


def test_a_launch_that_came_is_not_made_again() -> None:
    """It ended meanwhile, and what was reported of it was lost with the master."""
    cluster = Batched("home", "node1")
    [npid] = cluster.queued(terms())
    again = restarted(cluster)
    again.connect("home")
    again.says("home", hello("home", launched=[npid]))
    again.connect("node1")
    again.says("node1", hello("node1"))
    assert again.launches() == [] and not again.queue
    assert "startup on home is gone" in again.journal[npid].reason


def test_a_run_that_was_cut_off_is_said_to_be() -> None:
    cluster = Batched("home", "node1")
    [npid] = cluster.queued(terms())
    again = restarted(cluster)
    again.connect("home")
    again.says("home", hello("home", boot="another"))
    again.connect("node1")
    again.says("node1", hello("node1"))
    assert again.launches() == []
    row = again.journal[npid]
    assert row.state == "killed" and "startup on home is gone" in row.reason


def test_limits_of_a_user() -> None:
    cluster = Batched("home", "node1", "node2", rules=BatchRules(queued=3, running=1))
    cluster.queued(terms(), terms(), terms())
    assert len(cluster.launches()) == 1
    cluster.says("home", enqueue(terms(array=Array(0, 10))))
    [(_, refused)] = cluster.told()
    assert isinstance(refused, RequestRefused) and "[batch] queued" in refused.text
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert([1, 10**7 + 1], Array)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_and_nothing_runs_twice(seed: int) -> None:
    """Random submissions, ends, failures, lost nodes and restarts of the master."""
    rng = random.Random(seed)
    cluster = Batched("home", "node1", "node2")
    submitted: dict[int, Terms] = {}
    live: dict[int, Launch] = {}
    good: dict[tuple[int, int], int] = {}

    def heard() -> None:
        for launch in cluster.launches():
            assert launch.npid not in live, "runs twice at a time"
            live[launch.npid] = launch

    for _ in range(120):
        what = rng.random()
        if what < 0.35 and len(submitted) < 40:
            array = Array(1, rng.randint(1, 4)) if rng.random() < 0.3 else None
            after = rng.sample(sorted(submitted), min(2, len(submitted)))
            after = [n for n in after if n in cluster.queue]
            asked = terms(cpus=rng.randint(1, 2), array=array, after=after, retry=100)
            cluster.says("home", enqueue(asked, uid=UID + rng.randint(0, 2)))
            [answer] = [m for _, m in cluster.unseen if isinstance(m, Queued)]
            submitted[answer.npids[0]] = asked
        elif what < 0.85 and live:
            launch = live.pop(rng.choice(sorted(live)))
            failed = rng.random() < 0.2
            if not failed:
                key = (launch.entry, launch.index)
                good[key] = good.get(key, 0) + 1
            cluster.ends(launch, code=int(failed))
        elif what < 0.92:
            journal, queue = cluster.rows(), list(cluster.queue.values())
            heard()
            journal, queue = cluster.rows(), list(cluster.queue.values())
            cluster = Batched(rows=journal, queued=queue)
            cluster.connect("home")
            homes = [
                msgspec.structs.replace(home_job(n, la.degree), uid=cluster.job(n).uid)
                for n, la in live.items()
            ]
            cluster.says("home", hello("home", homes=homes))
            for name in ("node1", "node2"):
                cluster.connect(name)
                cluster.says(name, hello(name))
        heard()
    for _ in range(2000):
        if not live:
            break
        launch = live.pop(min(live))
        key = (launch.entry, launch.index)
        good[key] = good.get(key, 0) + 1
        cluster.ends(launch)
        heard()
    assert not cluster.queue
    expected = {
        (npid, index): 1
        for npid, asked in submitted.items()
        for index in (range(1, asked.array.last + 1) if asked.array else [0])
    }
    assert good == expected
    for npid in submitted:
        row: JobRow | None = cluster.master.core.pdb.ended.get(Npid(npid))
        assert row is None or row.state == "exited"
