"""A member with a valid certificate that lies: nobody else is harmed, and it is in the log.

Root's cluster over TLS on loopback, where root may not run jobs. `evil` speaks for all users, as a
daemon of root does: it is believed about who its users are and about nothing else. All the while
alice has a job from home on node1.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import ended, everybodys_python, make_launchers, read_line, until
from net.loopback import Loopback, free_ports, loopback

from .hostile_daemon import HostileDaemon, Talk, Words, spec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root's cluster needs root")
ALICE, BOB = 20001, 20002
HERS = [ALICE, ALICE, []]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Loopback]:
    python = everybodys_python()
    if python is None:
        pytest.skip("ordinary users can run no interpreter of this version")
    with loopback(allow_root="false") as made:
        make_launchers(made.folder / "bin", python)
        yield made


@pytest.fixture(scope="module")
def evil(cluster: Loopback) -> HostileDaemon:
    return HostileDaemon(cluster, "evil", free_ports(1)[0])


class Job:
    """Alice's."""

    def __init__(self, cluster: Loopback, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.echo()
        (row,) = json.loads(cluster.home.run("glups", "--json", uid=ALICE).out)
        self.npid = row["npid"]
        self.row = row

    def echo(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"word\n")
        self.process.stdin.flush()
        assert read_line(self.process) == "word"


@pytest.fixture
def job(cluster: Loopback) -> Iterator[Job]:
    """What must not be harmed: a job, every service, and the way to a new job."""
    before = cluster.services()
    logs = {name: len(cluster.log(name)) for name in before}
    with ended(cluster.home.start("glurun", "-w", "node1", "cat", uid=ALICE,
                                  stdin=subprocess.PIPE)) as process:  # fmt: skip
        hers = Job(cluster, process)
        yield hers
        hers.echo()
        (row,) = json.loads(cluster.home.run("glups", "--json", uid=ALICE).out)
        assert row == hers.row
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0
    assert cluster.services() == before
    states = cluster.home.states()
    assert {states["home"], states["node1"]} == {"up"}
    for name, start in logs.items():
        log = cluster.log(name)[start:]
        assert "Traceback" not in log and "bug:" not in log, log
        assert "lost the master" not in log, log
    result = cluster.home.run("glurun", "-w", "node1", "id", "-u", uid=BOB)
    assert (result.status, result.text) == (0, str(BOB)), result


@pytest.fixture
def marker() -> Iterator[Path]:
    """What a process of the attack makes where all users can."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder) / "made"


def log_of(cluster: Loopback, name: str, words: str, since: int = 0) -> None:
    until(lambda: words in cluster.log(name)[since:], f"{words!r} in the log of {name}", 10)


# -- to the master ---------------------------------------------------------------------------


def test_reports_about_anothers_job(cluster: Loopback, evil: HostileDaemon, job: Job) -> None:
    npid = job.npid
    claims: dict[str, tuple[Words, str]] = {
        "ended": (["exited", npid, 0, 0, 9, "because"], f"process {npid}.0 is on node1"),
        "stopped": (["stopped", npid, 0, 19], f"process {npid}.0 is on node1"),
        "started": (["started", npid, 0, 5], f"process {npid}.0 is on node1"),
        "over": (["over", npid, "because"], f"job {npid} has its home on home"),
        "a process that it has not": (["exited", npid, 4095, 0, 9], f"no process {npid}.4095"),
    }
    for what, (words, logged) in claims.items():
        with evil.master() as talk:
            since = len(cluster.log("master"))
            talk.say(words)
            assert talk.closed(), what
        log_of(cluster, "master", logged, since)


def test_a_hello_that_claims_anothers_job(cluster: Loopback, evil: HostileDaemon, job: Job) -> None:
    npid = job.npid
    row = [npid, 0, 1, ALICE, "home", "x", 1, False, 0.0]
    with evil.master(evil.hello_again(running=[row])) as talk:
        assert talk.hear("kill") == [0, "kill", npid, [0], 9]  # its own process, if there were one
    unsent = [["exited", npid, 0, 0, 9], ["over", npid, "x"]]
    for hello in (
        evil.hello_again(homes=[[npid, BOB, "x", 1, False]]),
        [*evil.hello_again(), unsent],
    ):
        with evil.master(hello) as talk:
            assert talk.welcome
    for name in ("home", "node1", "Evil", "master"):
        with evil.master(evil.hello(node=name)) as talk:
            assert talk.closed()
    row = [5, 0, 1, ALICE, "nowhere", "x", 1, False, 0.0]
    with evil.master(evil.hello_again(running=[row])) as talk:
        assert talk.closed()
    assert "nowhere" not in cluster.home.states()
    log_of(cluster, "master", "reports a job of 'nowhere', which is no member")


def test_signals_and_tables(cluster: Loopback, evil: HostileDaemon, job: Job) -> None:
    npid = job.npid
    with evil.master() as talk:
        talk.say(["kill", 1, 0, npid, None, 9])
        told = talk.hear("refused", "killed")
        assert told is not None and told[1:4] == ["refused", 1, "not-yours"], told
        talk.say(["kill", 2, BOB, npid, None, 9])
        told = talk.hear("refused", "killed")
        assert told is not None and told[1:4] == ["refused", 2, "not-yours"], told
        talk.say(["jobs", 3, 0, True])
        told = talk.hear("joblist")
        assert told is not None
        assert {row[3] for row in told[3] if row[0] == npid} == {"(hidden)"}, told
        talk.say(["place", 4, 0, "x", 1, ["node1"], [], False])
        told = talk.hear("refused", "placed")
        assert told is not None and told[1:4] == ["refused", 4, "not-yours"], told
    log_of(cluster, "master", "root of evil signals jobs of evil only")


LONG = os.environ.get("GLUNIX_LONG")
ODD = [-1, 2**63, 2**64 - 1, float("nan"), float("inf")]
if LONG:
    ODD += [-(2**63), 2**31, 2**32, 1.5, None, "", b"", []]


def test_numbers_out_of_range(cluster: Loopback, evil: HostileDaemon, job: Job) -> None:
    """In each field of what a node reports, in turn: refused, and the books stay usable."""
    good: list[Words] = [
        ["exited", job.npid, 0, 0, 0], ["stopped", 2**30, 0, 0], ["started", 2**30, 0, 1],
        ["load", 0.0, 0], ["kill", 1, BOB, 2**30, 0, 0], ["place", 1, BOB, "x", 1, [], [], False],
    ]  # fmt: skip
    for words in good:
        for at in range(1, len(words)):
            for value in ODD:
                with evil.master() as talk:
                    talk.say([*words[:at], value, *words[at + 1 :]])
                    talk.say(["nodes", 9])
                    talk.hear("nodelist")  # or the end of the link
    row = [2**30, 0, 1, ALICE, "home", "x", 1, False, 0.0]
    for value in ODD:
        hellos = [evil.hello(cpus=value), evil.hello(memory_total=value)]
        for at in range(9):
            hellos.append(evil.hello(running=[[*row[:at], value, *row[at + 1 :]]]))
        for hello in hellos:
            with evil.master(hello):
                pass
    for tool in (["glups", "-a"], ["glups", "-a", "--json"], ["glustat"], ["glustat", "--json"]):
        result = cluster.home.run(*tool, uid=ALICE)
        assert result.status == 0 and result.complaint == "", result
        if "--json" in tool:
            json.loads(result.out, parse_constant=lambda word: pytest.fail(word))


# -- to another node, as a home --------------------------------------------------------------


def tries(cluster: Loopback, evil: HostileDaemon, start: Words) -> tuple[list[str], list[Words]]:
    """Send a Start to node1 as a home: (tags of the answers, the answers)."""
    with evil.peer(cluster.node_port) as talk:
        talk.say(start, 1)
        talk.hear("close", seconds=15.0)
        return [words[1] for words in talk.heard], talk.heard


def test_starts_that_the_master_did_not_place(
    cluster: Loopback, evil: HostileDaemon, job: Job, marker: Path
) -> None:
    touch = spec("touch", str(marker))
    for what, npid, owner in (
        ("a number of no job", 77777, HERS),
        ("the number of her job", job.npid, HERS),
        ("as root", 77778, [0, 0, [0]]),
    ):
        since = len(cluster.log("node1"))
        tags, heard = tries(cluster, evil, evil.start(npid, owner, touch))
        assert "failed" in tags and "started" not in tags, (what, heard)
        log_of(cluster, "node1", "refused", since)
    with evil.peer(cluster.node_port) as talk:
        talk.say(evil.start(77779, HERS, touch, home="home"), 1)
        assert talk.closed()
    with evil.peer(cluster.node_port) as talk:
        talk.say(["hello", 1, 0, "home", "x"])
        assert talk.closed()
    assert not marker.exists()


def placed(talk: Talk, uid: int, degree: int = 1) -> int:
    """As `evil` may: the users of its machine are its own to name."""
    talk.say(["place", 1, uid, "x", degree, ["node1"], [], False])
    told = talk.hear("placed", "refused")
    assert told is not None and told[1] == "placed", told
    return int(told[3])


def test_forged_owners(cluster: Loopback, evil: HostileDaemon, job: Job, marker: Path) -> None:
    """The job was placed for alice: it runs as alice, in no group that she has not there."""
    touch = spec("touch", str(marker))
    with evil.master() as talk:
        for what, owner in (
            ("as root", [0, 0, [0]]),
            ("as bob", [BOB, BOB, []]),
            ("in group root", [ALICE, 0, []]),
            ("in group disk", [ALICE, 6, []]),
            ("in a group of the node", [ALICE, 42, [ALICE]]),
        ):
            tags, heard = tries(cluster, evil, evil.start(placed(talk, ALICE), owner, touch))
            assert "failed" in tags and "started" not in tags, (what, heard)
        assert not marker.exists()
        owner = [ALICE, ALICE, [0, 4, 6, 27, 42, ALICE]]
        start = evil.start(placed(talk, ALICE), owner, spec("id", "-G"))
        tags, heard = tries(cluster, evil, start)
        assert "exited" in tags, heard
        outputs = b"".join(words[4] for words in heard if words[1] == "out" and words[3] == 1)
        assert outputs == b"%d\n" % ALICE, heard


def test_more_processes_than_placed(
    cluster: Loopback, evil: HostileDaemon, job: Job, marker: Path
) -> None:
    touch = spec("touch", str(marker))
    with evil.master() as talk:
        for vnns in ([0, 0], [0, 1], [1], [], [4095]):
            start = evil.start(placed(talk, ALICE), HERS, touch, vnns)
            start[2] = 4096
            tags, heard = tries(cluster, evil, start)
            assert "started" not in tags, (vnns, heard)
        assert not marker.exists()
        good = evil.start(placed(talk, ALICE), HERS, spec("true"))
        assert "started" in tries(cluster, evil, good)[0]
        assert "started" not in tries(cluster, evil, good)[0]  # once


def test_limits_and_priority(cluster: Loopback, evil: HostileDaemon, job: Job) -> None:
    limits = [[number, -1, -1] for number in range(16)]
    script = "ulimit -Hn; nice"
    with evil.master() as talk:
        start = evil.start(placed(talk, ALICE), HERS, spec("sh", "-c", script, rlimits=limits,
                                                           nice=-20))  # fmt: skip
        tags, heard = tries(cluster, evil, start)
    assert "exited" in tags, heard
    output = b"".join(words[4] for words in heard if words[1] == "out" and words[3] == 1)
    files, nice = output.split()
    hard = Path(f"/proc/{cluster.services()['node1'].pid}/limits").read_text()
    (line,) = (row for row in hard.splitlines() if row.startswith("Max open files"))
    assert files.decode() == line.split()[4] and int(nice) >= 0


def test_signals_on_streams_of_others(cluster: Loopback, evil: HostileDaemon, job: Job) -> None:
    with evil.peer(cluster.node_port) as talk:
        for number in range(1, 9):
            talk.say(["signal", 9, None], number)
            if talk.closed(0.1):
                break
    with evil.peer(cluster.node_port) as talk:
        for number in range(1, 99):
            talk.say(["close", number, "x"])
        assert not talk.closed(0.5)


# -- as the node that a home dials -----------------------------------------------------------


def test_a_node_that_was_dialled_starts_jobs_at_home(
    cluster: Loopback, evil: HostileDaemon, job: Job, marker: Path
) -> None:
    """Home dialled it, so it had shown no certificate of a client: home took it for a process of
    its own user until the dialling was noted."""
    starts = [evil.start(n, [0, 0, [0]], spec("touch", str(marker)), home=name)
              for n, name in enumerate(("evil", "home", "node1"), 1)]  # fmt: skip
    heard: list[Words] = []

    def act(talk: Talk) -> None:
        talk.say(["hello", 1, 0, "evil", "x"])
        for number, start in enumerate(starts, 1):
            talk.say(start, number)
            talk.say(start, number + 100)
        talk.hear("close", seconds=3.0)
        heard.extend(talk.heard)

    def renames(talk: Talk) -> None:
        talk.say(["hello", 1, 0, "node1", "x"])
        heard.append([0, "renamed", talk.closed()])

    with evil.dialled(act), evil.master():
        for _ in range(3):
            result = cluster.home.run("glurun", "-w", "evil", "true", uid=BOB)
            assert result.status == 125, result
        until(lambda: [words[1] for words in heard].count("start") == 3, "it was dialled")
        assert {"started", "failed"}.isdisjoint(words[1] for words in heard)
    with evil.dialled(renames), evil.master():
        assert cluster.home.run("glurun", "-w", "evil", "true", uid=BOB).status == 125
    assert heard[-1] == [0, "renamed", True]
    log_of(cluster, "home", "evil says that it is 'node1'")
    assert not marker.exists()


def test_renewals_without_end(cluster: Loopback, evil: HostileDaemon, job: Job) -> None:
    from glunix.trust import certs

    key = certs.load_key((evil.folder / "private" / "node.key").read_bytes())
    request = certs.new_request(key)
    with evil.master() as talk:
        for _ in range(60):
            talk.say(["renew", request])
        talk.say(["nodes", 1])
        assert talk.hear("nodelist")
    book = json.loads((cluster.home.folder / "private" / "members.json").read_bytes())
    (row,) = (row for row in book["members"] if row["name"] == "evil")
    assert len(row["serials"]) < 20
    assert cluster.log("master").count("evil asks for certificates too often") < 60
