"""Two users: every tool there is, tried by one on the other's job and cluster; and by hand.

The tools are those that are installed (entry points, and the commands of `glunix` and `slic`): one
without a line here fails.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.cluster import Result, ended, finish, read_line

from glunix.cli.launchers import targets
from glunix.cli.main import parser as glunix_parser
from slic.cli import _parser as slic_parser

from .lab import Lab, running_lab
from .test_lab_users import ALICE, BOB, HOSTILE
from .test_lab_users import readable as readable

OWNERS = r"only the cluster's own user and root may .*"
NOT_HIS = r"cannot use .*: it belongs to uid 0"
HERS = rf"[0-9.]+: job [0-9.]+ belongs to uid {ALICE}"
NOBODYS_BUSINESS = "touches no job and no cluster that is there"


@dataclass(frozen=True)
class Try:
    """What bob types ({npid}, {pid}: her job and its process), and what he must be told.

    `logged`: the refusal stands in the home daemon's log. `where`: "node", if not at home.
    """

    words: str
    status: int
    says: str = ""
    logged: bool = False
    where: str = "home"


TRIES: dict[str, list[Try] | str] = {
    "glubatch": [
        Try("glubatch --hold {npid}", 1, ".*not in the queue"),
        Try("glubatch --release {npid}", 1, ".*not in the queue"),
        Try("glubatch --attach {npid}", 1, ".*no batch job of yours.*"),
    ],
    "glumigrate": [
        Try("glumigrate {npid}", 1, ".*(belongs to|not transparent|no transparent|user level).*"),
    ],
    "glukill": [
        Try("glukill {npid}", 1, HERS, logged=True),
        Try("glukill -9 {npid}.0", 1, HERS, logged=True),
        Try("glukill -0 {npid}", 1, HERS, logged=True),
        Try("glukill -STOP {npid}", 1, HERS, logged=True),
        Try("glukill {npid}", 1, HERS, where="node"),
    ],
    "glups": [
        Try("glups {npid}", 1, "no job {npid}"),
        Try("glups -p {npid}", 1, "no job {npid}"),
        Try("glups", 0),
        Try("glups -a", 0),
        Try("glups -a -p", 0),
        Try("glups -a --json", 0),
    ],
    "glurun": [
        Try("glurun -w node1 kill -9 {pid}", 1, ".*(not permitted|Permission denied).*"),
        Try("glurun -w node1 cat /proc/{pid}/environ", 1, ".*Permission denied"),
        Try("glurun -w node1 ls /proc/{pid}/fd", 2, ".*Permission denied"),
        Try("glurun -w node1 sh -c 'echo got you >/proc/{pid}/fd/0'", 2, ".*Permission denied"),
        Try("glurun -T -w node1 kill -9 {pid}", 1, ".*(not permitted|No such process|denied).*"),
        Try("glurun -w node1 glukill {npid}", 1, HERS),
    ],
    "glustat": [Try("glustat", 0), Try("glustat --json", 0)],
    "glunix config": [Try("glunix config", 0)],
    "glunix daemon": [Try("glunix daemon", 1, NOT_HIS)],
    "glunix down": [Try("glunix down", 1, NOT_HIS), Try("glunix down", 1, NOT_HIS, where="node")],
    "glunix init": [Try("glunix init", 1, "glunix.toml exists: a cluster is there")],
    "glunix install-units": [Try("glunix install-units --dir /etc", 1, ".*Permission denied")],
    "glunix invite": [Try("glunix invite", 1, OWNERS)],
    "glunix join": [Try("glunix join x:1 y", 1, "this machine is in a cluster .*")],
    "glunix leave": [
        Try("glunix leave --force", 1, "the master is here.*"),
        Try(
            "glunix leave --force",
            1,
            "cannot use .*|cannot read .*|no glunix.toml in .*",
            where="node",
        ),
    ],
    "glunix logs": [
        Try("glunix logs", 1, OWNERS),
        Try("glunix logs -f master", 1, OWNERS),
        Try("glunix logs", 1, OWNERS, where="node"),
    ],
    "glunix master": [Try("glunix master", 1, NOT_HIS)],
    "glunix members": [Try("glunix members", 1, OWNERS)],
    "glunix revoke": [Try("glunix revoke node1", 1, OWNERS)],
    "glunix status": [Try("glunix status", 0)],
    "glunix up": [Try("glunix up", 1, NOT_HIS)],
    "glunix compare": NOBODYS_BUSINESS,
    "glunix completion": NOBODYS_BUSINESS,
    "glunix demo": NOBODYS_BUSINESS,
    "glunix doctor": NOBODYS_BUSINESS,
    "glunix shell": NOBODYS_BUSINESS,
    "glunix version": NOBODYS_BUSINESS,
    "slic attach": [
        Try("slic attach -i trace {pid}", 125, "cannot attach .*not permitted", where="node")
    ],
    "slic bench": NOBODYS_BUSINESS,
    "slic engines": NOBODYS_BUSINESS,
    "slic list": NOBODYS_BUSINESS,
    "slic run": NOBODYS_BUSINESS,
}


def commands(tool: str, of: argparse.ArgumentParser) -> set[str]:
    """The sub-commands of a tool."""
    (subs,) = [a for a in of._actions if isinstance(a, argparse._SubParsersAction)]
    return {f"{tool} {name}" for name in subs.choices}


def test_every_tool_is_tried() -> None:
    tools = set(targets()) - {"glunix", "slic"}
    tools |= commands("glunix", glunix_parser()) | commands("slic", slic_parser())
    assert set(TRIES) == tools


@dataclass(frozen=True)
class Hers:
    npid: int
    pid: int


@pytest.fixture(scope="module")
def lab(can_lab: None) -> Iterator[Lab]:
    """Home and a node on which other users can start this interpreter from within a tool."""
    with running_lab(1) as lab:
        for machine in lab.machines.values():
            machine.open_interpreter()
        yield lab


@pytest.fixture
def hers(lab: Lab, readable: None) -> Iterator[Hers]:
    """Alice's job, which must not notice any of it."""
    home = lab.home
    script = "echo go; read secret; echo got $secret; exit 4"
    with ended(home.start("glurun", "-w", "node1", "sh", "-c", script, uid=ALICE,
                          stdin=subprocess.PIPE)) as job:  # fmt: skip
        assert read_line(job) == "go"
        (row,) = json.loads(home.good("glups", "--json", uid=ALICE))
        yield Hers(row["npid"], row["procs"][0]["pid"])
        result = finish(job, b"word\n")
    assert (result.status, result.out, result.err) == (4, b"got word\n", b"")


def test_by_every_tool(lab: Lab, hers: Hers) -> None:
    home, node = lab.home, lab.node(1)
    for tool, tries in sorted(TRIES.items()):
        for one in tries if not isinstance(tries, str) else []:
            before = home.log("home")
            words = one.words.format(npid=hers.npid, pid=hers.pid)
            where = node if one.where == "node" else home
            result: Result = where.run("sh", "-c", words, uid=BOB, env={"HOME": "/nowhere"})
            assert result.status == one.status, (tool, words, result)
            says = one.says.format(npid=hers.npid)
            assert re.search(says, result.complaint), (tool, words, result)
            assert "Traceback" not in result.complaint, (tool, words, result)
            assert b"secret" not in result.out + result.err, (tool, words, result)
            if one.logged:
                said = home.log("home")[len(before) :]
                assert re.search(rf"refused pid \d+ of uid {BOB}: {HERS[9:]}", said), (words, said)


def test_by_hand(lab: Lab, hers: Hers) -> None:
    """Everything that the socket takes, at home and on the node: refused, and all of it logged."""
    for where, name in ((lab.home, "home"), (lab.node(1), "node1")):
        before = len(where.log(name))
        script = [sys.executable, HOSTILE, "client", str(where.folder / f"{name}.sock")]
        told = json.loads(where.good(*script, str(hers.npid), uid=BOB, timeout=60))
        said = where.log(name)[before:]
        assert said.count(f"of uid {BOB}: job {hers.npid} belongs to uid {ALICE}") == 2, said
        assert f"of uid {BOB}: job {hers.npid}.0 belongs to uid {ALICE}" in said
        for wish in (0, ALICE):
            assert f"you are uid {BOB}: you may not run a job as uid {wish}" in said
        assert "only the cluster's own user may stop a daemon" in said
        assert said.count("stream 1 is not its own") == 3, said
        for what in ("signal", "signal one", "ask by signal 0", "run as root", "run as her",
                     "stop the daemon"):  # fmt: skip
            ((_, tag, _, why, _),) = told[what]
            assert (tag, why) == ("refused", "not-yours"), (what, told[what])
        commands = [row[3] for row in told["her jobs"][0][3] if row[1] != BOB]
        assert set(commands) == {"(hidden)"}
        for what in ("input for her streams", "signals on her streams",
                     "a stream of my own making"):  # fmt: skip
            assert told[what] == [], what
    log = lab.home.log("master")
    assert f"refused a request of node1: job {hers.npid} belongs to uid {ALICE}" in log
    assert not Path("/forged").exists()
