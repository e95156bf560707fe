"""Two users on the machines of one cluster: neither touches what is the other's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e.cluster import finish

from lab.asking import done, job, running
from lab.machines import DEADLINE, Ability, Lab, Machine

pytestmark = pytest.mark.vm

HOSTILE = Path(__file__).resolve().parents[1] / "net" / "hostile.py"


def tools_tried(machine: Machine, npid: int, owner: str, stranger: str) -> None:
    """Every tool that tells of jobs or ends them, on one machine."""
    for words in (["-KILL", str(npid)], ["-0", f"{npid}.0"]):
        result = machine.run(["glukill", *words], user=stranger)
        assert result.status == 1 and result.err.count(b"\n") == 1, (words, result)
        assert "belongs to uid" in result.complaint, result
    assert json.loads(done(machine.run(["glups", "--json"], user=stranger))) == []
    uid = int(done(machine.run(["id", "-u"], user=owner)))
    rows = json.loads(done(machine.run(["glups", "-a", "--json"], user=stranger)))
    assert {row["command"] for row in rows if row["uid"] == uid} == {"(hidden)"}
    for words in (["glups", "-p", str(npid)], ["glups", "-a", "-p"]):
        assert f"secret-{owner}" not in machine.run(words, user=stranger).out.decode(), words
    for words in (["glunix", "logs"], ["glunix", "down"]):
        assert machine.run(words, user=stranger).status != 0, words


def by_hand(machine: Machine, npid: int, stranger: str) -> None:
    """A client that says what no tool would, on the socket of a machine's daemon."""
    machine.put(HOSTILE, "/tmp/hostile.py")
    sock = f"/run/glunix/{machine.name}.sock"
    words = ["/opt/glunix/bin/python", "/tmp/hostile.py", "client", sock, str(npid)]
    told = json.loads(done(machine.run(words, user=stranger, timeout=3 * DEADLINE)))
    for what in ("signal", "signal one", "ask by signal 0", "run as root", "run as her"):
        ((_, tag, _, why, _),) = told[what]
        assert (tag, why) == ("refused", "not-yours"), (what, told[what])
    assert told["stop the daemon"][0][1] == "refused"
    for what in ("input for her streams", "signals on her streams", "a stream of my own making"):
        assert told[what] == [], (what, told[what])


@pytest.mark.parametrize(("owner", "stranger"), [("ann", "bob"), ("bob", "ann")])
def test_users_are_apart(cluster: Lab, home: Machine, owner: str, stranger: str) -> None:
    """Refused on every machine, by every tool and by hand; the job notices nothing of it."""
    node = cluster.machines["node1"]
    words = ["-w", "node1", "sh", "-c", "echo begun; cat # secret-" + owner]
    with job(home, *words, stdin=True, user=owner) as process:
        (npid,) = running(home, owner)
        for machine in cluster.machines.values():
            tools_tried(machine, npid, owner, stranger)
        if Ability.KERNEL in cluster.abilities and owner == "ann":  # tests/net has it for others
            by_hand(home, npid, stranger)
            by_hand(node, npid, stranger)
        # Its process is its user's for the node's kernel as well.
        pids = done(node.run(["pgrep", "-u", owner, "-f", f"secret-{owner}"])).split()
        assert node.run(["kill", "-KILL", *pids], user=stranger).status == 1
        result = finish(process, b"still here\n", DEADLINE)
    assert (result.status, result.out, result.err) == (0, b"still here\n", b"")
    log = done(home.run(["cat", "/run/glunix/private/master.log"]))
    assert f"job {npid}" in log and "belongs to uid" in log


def test_root_may_not_run_jobs(home: Machine) -> None:
    """Allowed only by `allow_root`."""
    refused = home.run(["glurun", "true"])
    assert refused.status == 125 and "root may not run jobs" in refused.complaint, refused
