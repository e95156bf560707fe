"""Users of a cluster of machines: each is himself everywhere, and nobody's jobs are another's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import ended, finish, read_line, until

from .lab import Lab, running_lab

ALICE, BOB = 60001, 60002
HOSTILE = str(Path(__file__).with_name("hostile.py"))


@pytest.fixture(scope="module")
def strict_lab(can_lab: None) -> Iterator[Lab]:
    """No jobs of root; on node1 alice has another uid; node2 is bob's own."""
    with running_lab(2, join=False, root_jobs=False) as lab:
        mapping = lab.home.folder / "users.toml"
        mapping.write_text(f"[alice]\ndefault = {ALICE}\nnode1 = 60101\n")
        lab.set_knob("mapping", f'"{mapping}"')
        lab.home.good("glunix", "down")
        lab.home.good("glunix", "up", timeout=40)
        passwd = lab.folder / "passwd"
        passwd.write_text("root:x:0:0::/:/bin/sh\nalice:x:60101:60100::/:/bin/sh\n")
        lab.node(1).good("mount", "--bind", str(passwd), "/etc/passwd")
        assert lab.node(1).join(lab.invite()).status == 0
        node2 = lab.node(2)
        os.chown(node2.folder, BOB, BOB)
        node2.open_interpreter()
        assert node2.join(lab.invite(), uid=BOB).status == 0
        yield lab


@pytest.fixture
def readable(can_lab: None) -> None:
    """Another user must be able to run this checkout and its interpreter."""
    words = ["setpriv", f"--reuid={BOB}", f"--regid={BOB}", "--clear-groups", sys.executable, "-c",
             f"open({HOSTILE!r})"]  # fmt: skip
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("another user cannot read this checkout or its interpreter")


def test_a_user_is_himself_on_every_node(shared_lab: Lab, readable: None) -> None:
    home = shared_lab.home
    assert home.good("glurun", "-n", "3", "id", "-u", uid=ALICE).split() == [str(ALICE)] * 3
    assert home.good("glurun", "-T", "id", "-u", uid=ALICE) == str(ALICE)
    assert home.good("glurun", "id", "-G", uid=ALICE) == str(ALICE)


def test_tools_of_another_user(shared_lab: Lab, readable: None) -> None:
    home = shared_lab.home
    script = "echo go; read x; echo got $x; exit 4"
    with ended(home.start("glurun", "-w", "node1", "sh", "-c", script, uid=ALICE,
                          stdin=subprocess.PIPE)) as job:  # fmt: skip
        assert read_line(job) == "go"
        (row,) = json.loads(home.good("glups", "--json", uid=ALICE))
        assert "got" in row["command"]
        npid = str(row["npid"])
        for where in (home, shared_lab.node(1), shared_lab.node(2)):
            refused = where.run("glukill", npid, uid=BOB)
            assert refused.status == 1 and "belongs to uid 60001" in refused.complaint
            assert json.loads(where.good("glups", "--json", uid=BOB)) == []
            rows = json.loads(where.good("glups", "-a", "--json", uid=BOB))
            assert {r["command"] for r in rows if r["uid"] != BOB} == {"(hidden)"}
        rows = json.loads(home.good("glups", "-a", "--json"))
        assert any("got" in r["command"] for r in rows)  # root sees
        result = finish(job, b"word\n")
    assert (result.status, result.out) == (4, b"got word\n")


def test_root_may_not_run_jobs(strict_lab: Lab, readable: None) -> None:
    refused = strict_lab.home.glurun("true")
    assert refused.status == 125 and "root may not run jobs" in refused.complaint
    assert "root may not run jobs" in strict_lab.home.log("master")


def test_a_mapped_user(strict_lab: Lab, readable: None) -> None:
    """Uid and groups are those of the node's own alice; glups knows one alice."""
    home, node = strict_lab.home, strict_lab.node(1)
    assert home.good("glurun", "id", "-u", uid=ALICE) == "60101"
    assert home.good("glurun", "id", "-G", uid=ALICE) == "60100"
    with ended(node.start("glurun", "-w", "node1", "sleep", "1000", uid=60101)) as job:
        until(lambda: json.loads(home.good("glups", "--json", uid=ALICE)), "it is hers at home")
        (row,) = json.loads(home.good("glups", "--json", uid=ALICE))
        assert row["uid"] == ALICE
        home.good("glukill", str(row["npid"]), uid=ALICE)
        assert finish(job).status == 143
    for uid, where in ((60101, home), (ALICE, node)):
        refused = where.glurun("-w", "node1", "true", uid=uid)
        assert refused.status == 125, (uid, refused)
        assert "alice" in refused.complaint, refused


def test_a_daemon_of_an_ordinary_user(strict_lab: Lab, readable: None) -> None:
    """Bob's node runs bob's jobs; nobody else's are placed there, and it asks for nobody else."""
    home, node = strict_lab.home, strict_lab.node(2)
    assert home.good("glurun", "-w", "node2", "id", "-u", uid=BOB) == str(BOB)
    for _ in range(4):
        assert home.good("glurun", "sh", "-c", "echo $GLUNIX_NODE", uid=ALICE) == "node1"
    refused = home.glurun("-w", "node2", "true", uid=ALICE)
    assert (refused.status, refused.complaint) == (
        125,
        "glurun: no node accepts jobs among those asked for",
    )
    assert node.good("glurun", "-w", "node2", "id", "-u", uid=BOB) == str(BOB)
    others = node.run("glurun", "true", uid=ALICE)
    assert others.status == 125 and "serves uid 60002 only" in others.complaint
    rows = {r["name"]: r["uid"] for r in json.loads(home.good("glunix", "members", "--json"))}
    assert rows == {"home": None, "node1": None, "node2": BOB}


def test_the_key_of_an_ordinary_users_daemon(strict_lab: Lab, readable: None) -> None:
    """A hand-written daemon with bob's certificate: refused and logged, whatever it says."""
    home, node = strict_lab.home, strict_lab.node(2)
    node.good("glunix", "down", uid=BOB)
    until(lambda: home.states()["node2"] == "lost", "the true one is gone")
    with ended(home.start("glurun", "-w", "node1", "cat", uid=ALICE,
                          stdin=subprocess.PIPE)) as job:  # fmt: skip
        assert job.stdin is not None
        job.stdin.write(b"mine\n")
        job.stdin.flush()
        assert read_line(job) == "mine"
        (row,) = json.loads(home.good("glups", "--json", uid=ALICE))
        port = f"{strict_lab.node(1).address}:7118"
        words = [sys.executable, HOSTILE, "daemon", str(node.folder / "private"),
                 strict_lab.master, port, str(row["npid"]), "node2"]  # fmt: skip
        told = json.loads(node.good(*words, uid=BOB, timeout=120))
        for what in ("i am home", "i run her job", "i am her home"):
            assert told[what] == [], (what, told[what])
        for what in ("place as her", "place as root", "kill as her", "kill as root", "her jobs"):
            ((_, tag, _, why, _),) = told[what]
            assert (tag, why) == ("refused", "not-yours"), (what, told[what])
        for what in ("start as her", "start as root", "start with root's groups",
                     "start with her number"):  # fmt: skip
            tags = [message[1] for message in told[what]]
            assert "failed" in tags and "started" not in tags, (what, told[what])
        assert told["start for home"] == []
        assert home.states()["node1"] == "up"
        result = finish(job, b"end\n")
    assert (result.status, result.out) == (0, b"end\n")
    log = home.log("master")
    assert "certificate of node2 says 'home'" in log
    assert "serves uid 60002 only, not 60001" in log and "only, not 0" in log
    assert not Path("/tmp/forged").exists()
    node.good("glunix", "up", uid=BOB, timeout=40)


def test_an_invitation_for_one_user(shared_lab: Lab) -> None:
    """`invite --user`: even a daemon of root then speaks for that user only."""
    folder = str(shared_lab.folder / "bobs")
    token = shared_lab.invite("--user", str(BOB))
    node = shared_lab.node(3)
    node.good("glunix", "join", "--folder", folder, "--name", "bobs", "--no-start", "--",
              shared_lab.master, token)  # fmt: skip
    rows = {r["name"]: r["uid"] for r in json.loads(
        shared_lab.home.good("glunix", "members", "--json"))}  # fmt: skip
    assert rows["bobs"] == BOB
    node.good("glunix", "leave", "--folder", folder)
