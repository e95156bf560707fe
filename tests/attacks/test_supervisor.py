"""Nobody gets more than he has from what stands beside his transparent job (glunix.node.privilege).

As an ordinary user of root's cluster. See docs/security.md, "The supervisor".
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e.cluster import Cluster, Result, alive, as_user, descendants, ended, processes, until

from slic.kernel import capabilities as caps

SYS_PTRACE = caps.CAP_SYS_PTRACE
OF_THE_INIT = caps.CAP_CHECKPOINT_RESTORE | caps.CAP_KILL
Programs = Callable[[str], str]


def _status(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"^(\w+):\t(.*)$", text, re.MULTILINE))


def _beside(cluster: Cluster) -> list[int]:
    """Everything below the daemons of nodes: supervisors, helpers, programs."""
    everything = processes()
    found: set[int] = set()
    for member in cluster.nodes().values():
        found |= descendants(member.pid, everything)
    return sorted(pid for pid in found if alive(pid))


@contextmanager
def _running(cluster: Cluster, user: int, *words: str) -> Iterator[dict[str, int]]:
    """A transparent job of the user's that waits; yields the pids of its program and the rest."""
    with ended(cluster.start("glurun", "-T", *words, uid=user)) as startup:
        found: dict[str, int] = {}

        def is_there() -> bool:
            for pid in _beside(cluster):
                words_there = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if words_there[: len(words)] == [word.encode() for word in words]:
                    found["program"] = pid
            return "program" in found

        until(is_there, "the program")
        found["startup"] = startup.pid
        yield found


def test_input_is_not_written_into_what_takes_its_number(
    shared: Cluster, nobody: int, place: Path, program: Programs
) -> None:
    """Maps of fd 0 are filled by the supervisor, while a thread puts a file of root's there."""
    victim = place / "roots"
    victim.write_text("of root alone\n")
    text = place / "user" / "text"
    text.write_text("from home " * 100)
    line = f"glurun -T {program('exchange')} {victim} <{text}"
    for _ in range(3):
        result = shared.shell(line, uid=nobody)
        assert result.status == 0, result
        assert int(result.text) > 0, "no map was made: the attack did not happen"
        assert victim.read_text() == "of root alone\n"


def test_what_is_sent_is_the_users(
    shared: Cluster, nobody: int, place: Path, program: Programs
) -> None:
    text = place / "user" / "text"
    text.write_text("data and more\n")
    sender = program("whosent")
    native = shared.shell(f"{sender} <{text}", uid=nobody)
    assert native.text == f"{nobody} data"
    ours = shared.shell(f"glurun -T {sender} <{text}", uid=nobody)
    assert ours.text in (native.text, "refused"), ours


@pytest.mark.parametrize(
    "folder", ["user/d/../../made", "user/d/link/made", "user/d/../../../{place.name}-made"]
)
def test_no_directory_is_made_elsewhere(
    shared: Cluster, nobody: int, place: Path, folder: str
) -> None:
    """Directories of home that the node has not are made in a layer: nowhere else."""
    (place / "user" / "d").mkdir()
    os.chown(place / "user" / "d", nobody, nobody)
    (place / "user" / "d" / "link").symlink_to(place)
    home = place / "user" / "d"
    folder = folder.replace("{place.name}", place.name)
    for line in (
        f"glurun -T --home {home} -D {place}/{folder} true",
        f"glurun -T --home {home} sh -c 'cd {place}/{folder}'",
    ):
        shared.shell(line, uid=nobody)
    assert not (place / "made").exists()
    assert not Path(f"{place}-made").exists()
    inside = shared.glurun("-T", "--home", str(home), "sh", "-c", f"cd {home} && pwd", uid=nobody)
    assert inside.text == str(home), inside


def test_nobody_looks_into_what_stands_beside_his_job(
    shared: Cluster, nobody: int, program: Programs
) -> None:
    """Not traced, read or written; the same tries succeed against the program itself."""
    intrude = program("intrude")

    def tried(pid: int) -> str:
        words = [*as_user(nobody), intrude, str(pid)]
        return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout

    with _running(shared, nobody, "sleep", "97.25") as job:
        assert set(tried(job["program"]).splitlines()) >= {"open mem", "pidfd_getfd", "ptrace"}
        others = [pid for pid in _beside(shared) if pid != job["program"]]
        assert len(others) >= 4  # supervisor, init, and those that stand for home's processes
        for pid in others:
            assert tried(pid) == "", Path(f"/proc/{pid}/status").read_text()


def test_only_the_rights_that_are_named(shared: Cluster, nobody: int) -> None:
    """The supervisor and its helpers are the user's, with nothing in effect; the init is root's,
    with what the job's own PID namespace takes."""
    with _running(shared, nobody, "sleep", "97.5") as job:
        inits = 0
        for pid in _beside(shared):
            status = _status(pid)
            uid, effective = int(status["Uid"].split()[0]), int(status["CapEff"], 16)
            permitted = int(status["CapPrm"], 16)
            assert len(set(status["Uid"].split())) == 1, status
            if pid == job["program"]:
                assert (uid, permitted, status["NoNewPrivs"]) == (nobody, 0, "1")
            elif uid == 0:
                assert effective | permitted == OF_THE_INIT, status
                assert len(status["NSpid"].split()) > 2, "not in the job's namespace"
                inits += 1
            else:
                assert uid == nobody and not effective and not permitted & ~SYS_PTRACE, status
            assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
        assert inits == 1


@pytest.mark.parametrize("engine", ["unotify", "ptrace-seccomp", "ptrace"])
def test_setuid_programs_have_no_more_rights(
    shared: Cluster, nobody: int, place: Path, program: Programs, engine: str
) -> None:
    rights = _setuid(program("rights"), place)
    native = shared.shell(f"echo hello | {rights}", uid=nobody)
    assert native.text == "uid 0\nread hello", "the file system has no setuid programs"
    ours = shared.shell(f"echo hello | glurun -T --engine {engine} {rights}", uid=nobody)
    assert ours.text == f"uid {nobody}\nread hello", ours


def test_file_capabilities_give_nothing(shared: Cluster, nobody: int, place: Path) -> None:
    """Those of `ping`, say: a transparent job has no_new_privs."""
    program = place / "grep"
    shutil.copy(shutil.which("grep") or "", program)
    raw = 1 << 13
    attribute = struct.pack("<5I", 0x02000001, raw, 0, 0, 0)  # version 2, effective (capability.h)
    os.setxattr(program, "security.capability", attribute)
    line = f"{program} CapEff /proc/self/status"
    assert int(shared.shell(line, uid=nobody).text.split()[1], 16) == raw
    assert int(shared.shell(f"glurun {line}", uid=nobody).text.split()[1], 16) == raw
    assert int(shared.shell(f"glurun -T {line}", uid=nobody).text.split()[1], 16) == 0


def _setuid(built: str, place: Path) -> Path:
    copy = place / "rights"
    copy.write_bytes(Path(built).read_bytes())
    copy.chmod(0o4755)
    return copy


def test_what_a_setuid_program_goes_by_is_the_nodes(
    own: Cluster, nobody: int, place: Path, program: Programs
) -> None:
    """Where they are allowed: home lies about files to the user's own programs only."""
    rights = _setuid(program("rights"), place)
    plain = program("rights")
    files = place / "etc"
    false = place / "user" / "false"
    for folder, word in ((files, "true"), (false, "false")):
        folder.mkdir()
        (folder / "pam").write_text(f"{word}\n")
    result = own.run("glunix", "up", "-n", "1", "--setuid", timeout=40)
    assert result.status == 0, result
    # Home has its own view of the folder, as another machine would.
    user = " ".join(as_user(nobody))
    line = (
        f"mount --bind {false} {files} && echo hello | {user} {own.bin}/glurun -T --home {files} "
    )
    seen: dict[str, Result] = {}
    for what in (plain, str(rights)):
        words = ["unshare", "-m", "sh", "-c", f"{line} {what} {files}/pam"]
        seen[what] = own.run(*words)
    assert seen[plain].text == f"uid {nobody}\nfalse\nread hello", seen[plain]
    assert seen[str(rights)].text == "uid 0\ntrue\nread hello", seen[str(rights)]
    name = own.shell(f"glurun -T --home {files} sh -c 'hostname'", uid=nobody)
    assert name.text == os.uname().nodename


@pytest.mark.parametrize("engine", ["unotify", "ptrace-seccomp", "ptrace"])
def test_programs_that_let_nobody_look_are_served(
    shared: Cluster, nobody: int, place: Path, program: Programs, engine: str
) -> None:
    text = place / "user" / "text"
    text.write_text("from home\n" * 50)
    line = f"glurun -T --engine {engine} {program('undumpable')} <{text}"
    assert shared.shell(line, uid=nobody).out == text.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_an_owner_who_harms_his_supervisor_harms_his_job(
    shared: Cluster, nobody: int, number: int
) -> None:
    """Killed, it ends the job within a second, with a sentence; stopped, glukill ends it."""
    with ended(shared.start("glurun", "-T", "sleep", "97.75", uid=nobody)) as startup:
        until(lambda: _supervisor(shared, nobody), "the supervisor")
        until(lambda: any(b"97.75" in _words(pid) for pid in _beside(shared)), "the program")
        pid = _supervisor(shared, nobody)
        kill = [*as_user(nobody), "sh", "-c", f"kill -{number} {pid}"]
        subprocess.run(kill, check=True, timeout=10)
        began = time.monotonic()
        if number == signal.SIGSTOP:
            row = next(one for one in shared.jobs() if one["state"] == "running")
            assert shared.run("glukill", "-9", str(row["npid"]), uid=nobody).status == 0
        assert startup.wait(10) != 0
        assert time.monotonic() - began < 3
        assert startup.stderr is not None
        if number == signal.SIGKILL:
            assert startup.stderr.read().count(b"\n") == 1
    until(lambda: not _beside(shared), "the end of everything")


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _supervisor(cluster: Cluster, user: int) -> int:
    """The user's child of a node's daemon; 0: none."""
    daemons = {member.pid for member in cluster.nodes().values()}
    for pid, (parent, _) in processes().items():
        if parent in daemons and _status(pid)["Uid"].split()[0] == str(user):
            return pid
    return 0
