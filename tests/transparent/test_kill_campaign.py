"""Whoever serves a transparent job, or stands for somebody, is SIGKILLed at a random moment, again
and again.

Each round has a terminal of its own, whose shell (without job control, so that it mends no modes)
says what it got. Then, soon: a status and at most one sentence; the terminal's modes as before; and
of the job no process, pseudo-terminal, mount or namespace left on any node. Seeded: a round that
failed can be run again. GLUNIX_TEST_USER has it done by an ordinary user of root's cluster.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

import pexpect
import pytest
from e2e.cluster import (
    Cluster,
    Member,
    descendants,
    describe,
    guests_of,
    is_startup,
    processes,
    until,
)
from e2e.terminal import Terminal as Pty
from e2e.terminal import on_terminal

from .compare import PYTHON

LONG = bool(os.environ.get("GLUNIX_LONG"))
SEEDS = range(10) if LONG else range(1)
ROUNDS = 20 if LONG else 12
LONGEST = 0.6
"""Seconds from the startup's start to the kill, at most: launch, modes and reads are within."""

RAW = (
    "import os, tty\n"
    "tty.setraw(0)\n"
    "if os.fork() == 0: os.setsid()\n"  # an escaped child: it must end with the job
    "while True: os.read(0, 1)\n"
)
MODES = (  # by the program itself: a stty that outlives it would finish its work, as at home
    "import os, sys, termios\n"
    "modes = termios.tcgetattr(0)\n"
    "modes[3] &= ~int(sys.argv[1])\n"
    "termios.tcsetattr(0, termios.TCSADRAIN, modes)\n"
    "while True: os.read(0, 9) if sys.argv[2] == 'reads' else os.write(1, b'word\\n')\n"
)
PROGRAMS = {
    "raw": f"{PYTHON} -I -S %s/raw.py",
    "reads": f"{PYTHON} -I -S %s/modes.py {termios.ECHO} reads",
    "writes": f"{PYTHON} -I -S %s/modes.py {termios.ICANON} writes",
    "tree": "sh -c '(sleep 7777 & sleep 7778) & sleep 7779' sh",
}
ENDING = ("startup", "supervisor", "init", "program", "node", "home", "half")
LEAVING = ("nursery", "shadow", "helper")
"""The job goes on without them: the startup is killed, too, a moment later."""
VICTIMS = ENDING + LEAVING
STATUSES = (125, 137)
SOON, AT_ALL = 1.0, 6.0
"""Seconds from the kill until the shell goes on: in the middle of the rounds, and in each of them
on a machine that does other things as well."""

_HELD = re.compile(r".*ptmx|(mnt|uts|pid|user):\[")
"""Descriptors that would keep a terminal or a namespace alive."""


@dataclass(frozen=True)
class Found:
    """Who is there of a job at one moment: pids by role."""

    pids: dict[str, int] = field(default_factory=dict)

    @classmethod
    def look(cls, cluster: Cluster, shell: int) -> Found:
        """The startup is a child of the shell; a supervisor is a child of its node's daemon."""
        everything = processes()
        found: dict[str, int] = {}
        for pid, (parent, _) in everything.items():
            if parent == shell and (b"glurun" in _words(pid) or is_startup(pid)):
                found["startup"] = pid
        for role, above in (("half", "startup"), ("nursery", "half"), ("shadow", "nursery")):
            for pid, (parent, _) in everything.items():
                if parent == found.get(above):
                    found[role] = pid
        members = cluster.members()
        found["home"] = members["home"].pid
        for name, member in cluster.nodes().items():
            for pid, (parent, _) in everything.items():
                if parent == member.pid:
                    found["supervisor"], found["node"] = pid, members[name].pid
        for pid, (parent, _) in everything.items():
            if parent == found.get("supervisor"):
                found["init"] = pid
        for pid in descendants(found.get("init", 0), everything) if "init" in found else ():
            if _number(pid) == found.get("startup") and not _is_still_ours(pid):
                found["program"] = pid
        below = [pid for pid, (parent, _) in everything.items() if parent == found.get("program")]
        found |= {"helper": random.choice(below)} if below else {}
        return cls(found)


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _number(pid: int) -> int:
    """Its pid in the innermost namespace; 0: it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(re.findall(r"^NSpid:.*?(\d+)$", status, re.MULTILINE)[0])
    except (OSError, IndexError):
        return 0


def _is_still_ours(pid: int) -> bool:
    """Whether it has not executed the program yet: then its death is the launch's failure."""
    return _words(pid).startswith(b"glunix")


def _begun_by(folder: Path) -> set[int]:
    """Processes that have this cluster in their environment."""
    needle = f"GLUNIX_DIR={folder}".encode()
    found = set()
    for pid in processes():
        try:
            if needle in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.add(pid)
        except OSError:
            pass
    return found


def _mounts(member: Member) -> int:
    return len(Path(f"/proc/{member.pid}/mountinfo").read_text().splitlines())


class Campaign:
    """One cluster, many rounds."""

    def __init__(self, cluster: Cluster, place: Path, seed: int) -> None:
        self.cluster, self.place = cluster, place
        self.random = random.Random(seed)
        cluster.up(2)
        (place / "raw.py").write_text(RAW)
        (place / "modes.py").write_text(MODES)
        self.took: list[float] = []
        """Seconds of each round from the kill until the shell went on."""
        self.begun = _begun_by(cluster.folder)
        self.mounts = {name: _mounts(member) for name, member in cluster.nodes().items()}

    def round(self, number: int) -> None:
        """Start a program, kill somebody, see what is left."""
        program = self.random.choice(list(PROGRAMS))
        words = PROGRAMS[program].replace("%s", str(self.place))
        delay, wanted = self.random.uniform(0, LONGEST), self.random.choice(VICTIMS)
        story = f"round {number}: {program}, {wanted} killed after {delay:.3f} s"
        script = (
            f"cd {self.place}; stty -a >before; glurun -T {words}; s=$?; echo; echo over $s;"
            # Home's half restores once it sees its shadow gone: the shell may see that first.
            " for i in $(seq 60); do stty -a >after; cmp -s before after && break; sleep 0.05;"
            " done; echo done"
        )
        with on_terminal(self.cluster, "sh", "-c", script) as tty:
            killed = self.kill(tty, wanted, delay)
            began = time.monotonic()
            status, said = self.status(tty, f"{story} ({killed})")
            self.took.append(time.monotonic() - began)
            assert self.took[-1] < AT_ALL, f"{story} ({killed}): {self.took[-1]:.1f} s"
            assert len(re.findall(r"^glurun: ", said, re.MULTILINE)) <= 1, said
            assert "Traceback" not in said, said
            # The session's leader is a helper, too: without him the terminal hangs up (SIGHUP).
            expected = (*STATUSES, 129) if killed == "helper" else STATUSES
            assert status in expected, f"{story} ({killed}): status {status}"
        before, after = ((self.place / name).read_text() for name in ("before", "after"))
        # What a program leaves when it is killed (SIGHUP, too) stays, as at home.
        if killed != "program" and status != 129:
            assert after == before, f"{story} ({killed})"
        self.clean(killed, story)

    def kill(self, tty: Pty, wanted: str, delay: float) -> str:
        """SIGKILL to whom is wanted, or else to the startup, which is always there."""
        shell = tty.child.pid
        until(lambda: "startup" in Found.look(self.cluster, shell).pids, "a startup")
        time.sleep(delay)  # the moment is the point
        pids = Found.look(self.cluster, shell).pids
        victim = wanted if wanted in pids else "startup"
        for pid in [pids[victim]] + [pids["startup"]] * (victim in LEAVING):
            with contextlib.suppress(ProcessLookupError):  # it is no child of ours
                os.kill(pid, 9)
        return victim

    def status(self, tty: Pty, story: str) -> tuple[int, str]:
        """What the shell says, to the end of its script, and what was printed before."""
        try:
            tty.child.expect(r"over (\d+)\r?\n")
            found, said = int(tty.child.match.group(1)), tty.child.before
            tty.expect("done")
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            raise AssertionError(f"{story}: the shell got no status: {error}") from None
        return found, said

    def clean(self, killed: str, story: str) -> None:
        """Nothing of the job is left; a daemon that was killed is started again."""
        if killed in ("node", "home"):
            self.cluster.up(2)
            self.begun |= {member.pid for member in self.cluster.members().values()}
        for job in self.cluster.jobs():
            if job["state"] not in ("exited", "killed", "failed"):
                # Background processes outlive a killed startup: that is no leak.
                self.cluster.run("glukill", "-9", str(job["npid"]))
        left: list[str] = []

        def nothing_left() -> bool:
            left[:] = self.left()
            return not left

        try:
            until(nothing_left, story)
        except AssertionError:
            raise AssertionError(f"{story}: left behind: {left}") from None

    def left(self) -> list[str]:
        """What is there that was not, in words."""
        found = []
        for name, member in self.cluster.nodes().items():
            found += [f"on {name}: {describe(pid)}" for pid in guests_of(member)]
            fds = member.fds().values()
            found += [f"{name} holds {what}" for what in fds if _HELD.match(what)]
            if _mounts(member) != self.mounts[name]:
                found.append(f"{_mounts(member)} mounts on {name}, not {self.mounts[name]}")
        return found + [describe(pid) for pid in _begun_by(self.cluster.folder) - self.begun]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", SEEDS)
def test_campaign(own: Cluster, place: Path, seed: int) -> None:
    campaign = Campaign(own, place, seed)
    for number in range(ROUNDS):
        campaign.round(number)
    took = sorted(campaign.took)
    print(f"from the kill to the shell: {took[len(took) // 2]:.2f} s, at most {took[-1]:.2f} s")
    assert not LONG or took[len(took) // 2] < SOON


@pytest.mark.parametrize("victim", ["supervisor", "init", "half"])
def test_modes_that_a_program_has_set(own: Cluster, place: Path, victim: str) -> None:
    """Its job is ended by the death of what serves it: nobody chose these modes to stay. The shell
    has no job control, so mends none."""
    own.up(1)
    (place / "modes.py").write_text(MODES)
    words = PROGRAMS["reads"].replace("%s", str(place))
    script = f"stty -a; echo begun; glurun -T {words}; echo over $?; sleep 0.5; stty -a; echo done"
    with on_terminal(own, "sh", "-c", script) as tty:
        before = tty.expect("begun")

        def has_set() -> bool:
            return not termios.tcgetattr(tty.child.child_fd)[3] & termios.ECHO

        until(has_set, "the program's modes")
        pids = Found.look(own, tty.child.pid).pids
        os.kill(pids[victim], signal.SIGKILL)
        said = tty.expect("over 137")
        assert said.count("glurun: ") <= 1, said
        after = tty.expect("done")
        modes = [line for line in before.split("\n") if line.startswith(("i", "o", "-"))]
        assert modes
        assert all(line in after for line in modes), after


TOGGLES = (
    "import termios\n"
    "modes = termios.tcgetattr(0)\n"
    "while True:\n"
    "    modes[3] ^= termios.ECHO\n"
    "    termios.tcsetattr(0, termios.TCSANOW, modes)\n"
)
"""Whenever it is killed, one more change is under way."""


def test_modes_that_a_program_sets_while_it_is_being_killed(own: Cluster, place: Path) -> None:
    """Its startup is killed, home's half ends the job, and what comes late is undone, too."""
    own.up(1)
    (place / "toggles.py").write_text(TOGGLES)
    words = f"{PYTHON} -I -S {place}/toggles.py"
    wait = "for i in $(seq 40); do stty -a >after; cmp -s before after && break; sleep 0.05; done"
    script = (
        f"cd {place}; stty -a >before; for n in 1 2 3; do glurun -T {words}; {wait};"
        " cmp before after && echo same; done; echo done"
    )
    with on_terminal(own, "sh", "-c", script) as tty:
        for _ in range(3):
            until(lambda: "program" in Found.look(own, tty.child.pid).pids, "the program")
            changed = termios.tcgetattr(tty.child.child_fd)[3] & termios.ECHO
            until(
                lambda was=changed: (  # type: ignore[misc]
                    termios.tcgetattr(tty.child.child_fd)[3] & termios.ECHO != was
                ),
                "a change of modes",
            )
            os.kill(Found.look(own, tty.child.pid).pids["startup"], signal.SIGKILL)
            tty.expect("same")
        tty.expect("done")


def test_the_campaign_sees_what_is_left(own: Cluster, place: Path) -> None:
    """Its checks can fail: a process, a pseudo-terminal of a node, a mount."""
    campaign = Campaign(own, place, 0)
    assert campaign.left() == []
    with own.start("sleep", "7780") as stray:
        assert any("sleep" in line for line in campaign.left())
        stray.kill()
        assert stray.stdout is not None and stray.stderr is not None
    campaign.mounts["node1"] += 1
    assert any("mounts on node1" in line for line in campaign.left())
