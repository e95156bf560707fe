"""The doctor: every row is tried, told and priced, as root and as nobody; nothing is left behind.

Tries fork, so they run in processes of their own: forking a threaded test process is refused by
newer Pythons.
"""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from glunix.cli import doctor, machine_probes
from glunix.cli.doctor import Feature, State
from glunix.node.processes import cgroups

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
CODE = "import sys; from glunix.cli.main import main; sys.exit(main())"


def run(
    code: str, *words: str, uid: int | None = None, python: str = sys.executable
) -> "subprocess.CompletedProcess[str]":
    who = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    return subprocess.run(
        [python, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        **who,
    )


def interpreter(uid: int | None) -> str:
    """One that this user may run, with our modules: ours, else the system's (ours in /root?)."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            if run("import glunix.cli.main, enum; enum.StrEnum", uid=uid, python=python).returncode:
                continue
        except (PermissionError, FileNotFoundError):
            continue
        return python
    pytest.skip(f"uid {uid} can read no interpreter from Python 3.11 on, or not the checkout")


def uids() -> list[int | None]:
    return [None, NOBODY] if os.getuid() == 0 else [None]


@pytest.mark.parametrize("uid", uids())
def test_every_row_has_a_state_a_reason_and_a_cost(uid: int | None) -> None:
    told = run(CODE, "doctor", "--json", uid=uid, python=interpreter(uid))
    assert told.stderr == "", told.stderr
    answer = json.loads(told.stdout)
    assert answer["uid"] == (os.getuid() if uid is None else uid)
    rows = answer["features"]
    assert [row["feature"] for row in rows] == [feature.name for feature in doctor.FEATURES]
    for row in rows:
        assert row["state"] in set(State) and len(row["cost"]) > 10
        assert row["state"] == "works" or row["detail"], row
    states = {row["feature"]: row["state"] for row in rows}
    assert states["pseudo-terminals"] == "works" and told.returncode == 0
    if uid == NOBODY:
        assert states["CAP_SYS_RESOURCE"] == "denied"


def test_the_table_prices_what_does_not_work() -> None:
    told = run(CODE, "doctor")
    assert told.returncode == 0 and told.stderr == ""
    for feature in doctor.FEATURES:
        assert feature.name in told.stdout
    assert "What" in told.stdout or "All works" in told.stdout


def failing(number: int):
    def work() -> None:
        raise OSError(number, os.strerror(number))

    return work


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (errno.EPERM, State.DENIED),
        (errno.EACCES, State.DENIED),
        (errno.ENOSYS, State.MISSING),
        (errno.ETIMEDOUT, State.MISSING),
    ],
)
def test_denied_is_not_missing(number: int, state: State) -> None:
    (found,) = doctor.examine([Feature("x", (("", failing(number)),), "a cost")])
    assert found.state is state and errno.errorcode[number] in found.detail


def test_the_first_way_that_works_counts_and_the_first_reason_stays() -> None:
    ways = (("as root", failing(errno.EPERM)), ("as a user", lambda: "so"))
    (found,) = doctor.examine([Feature("x", ways, "a cost")])
    assert (found.state, found.detail) == (State.WORKS, "as a user, so")
    ways = (("as root", failing(errno.EPERM)), ("as a user", failing(errno.ENOSYS)))
    (found,) = doctor.examine([Feature("x", ways, "a cost")])
    assert found.state is State.DENIED


def test_a_hanging_try_is_ended() -> None:
    code = (
        "import os, signal; from slic.kernel import probe\n"
        "def hang():\n  os.write(1, b'%d' % os.getpid()); signal.pause()\n"
        "try: probe.in_child(hang, 0.2)\n"
        "except TimeoutError: print(' ended')\n"
    )
    told = run(code)
    pid, word = told.stdout.split()
    assert word == "ended" and not Path(f"/proc/{pid}").exists()


def test_a_bug_in_a_try_is_loud() -> None:
    told = run("from slic.kernel import probe\nprobe.in_child(lambda: 1 // 0)")
    assert told.returncode == 1
    assert "ZeroDivisionError" in told.stderr and "RuntimeError" in told.stderr


def test_programs_count_only_when_they_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_probes, "_SBIN", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no vagrant"):
        machine_probes.vagrant()
    tool = tmp_path / "vagrant"
    tool.write_text("#!/bin/sh\necho Vagrant 2.3.4; exit $(($1 != --version))\n")
    tool.chmod(0o755)
    assert machine_probes.vagrant() == "Vagrant 2.3.4"
    tool.write_text("#!/bin/sh\necho broken; exit 1\n")
    with pytest.raises(OSError, match="broken"):
        machine_probes.vagrant()


def test_criu_must_say_that_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_probes, "_SBIN", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    tool = tmp_path / "criu"
    text = "#!/bin/sh\ncase $1 in check) echo 'Error (vdso.c:1): Unexpected'; exit 1;; esac\n"
    tool.write_text(text + "echo Version: 3.17.1\n")
    tool.chmod(0o755)
    with pytest.raises(OSError, match=r"3\.17\.1: criu check fails: Error"):
        machine_probes.criu()
    monkeypatch.setattr(machine_probes, "DEADLINE", 0.2)
    tool.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    with pytest.raises(TimeoutError, match="did not end"):
        machine_probes.criu()


@pytest.mark.parametrize(
    ("own", "mounts", "answer"),
    [
        ("0::/\n", "1 1 0:1 / {d} rw - cgroup2 cgroup2 rw\n", "jobs by v2, no share of pids"),
        ("2:freezer:/\n", "1 1 0:1 / {d} rw - cgroup x rw,freezer\n", "jobs by v1 freezer"),
        ("2:pids:/a\n", "1 1 0:1 /a {d} rw - cgroup x rw,pids\n", "jobs by v1 pids, pids by v1"),
    ],
)
def test_cgroup_versions(tmp_path: Path, own: str, mounts: str, answer: str) -> None:
    """What a daemon would use; what cannot be entered is not used."""
    folder = tmp_path / "cgroup"
    folder.mkdir()
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(own)
    (proc / "mountinfo").write_text(mounts.format(d=folder))
    with pytest.raises(OSError, match="No such file"):  # a group that is made has no cgroup.procs
        machine_probes.cgroups(proc)
    assert list(folder.iterdir()) == []
    found = list(cgroups.hierarchies(proc))
    assert [hierarchy.folder for hierarchy in found] == [folder]
    pids = found[0] if "pids" in found[0].controllers else None
    assert str(cgroups.Places(found[0], pids, None)).startswith(answer)
    (proc / "mountinfo").write_text("1 1 0:1 / /proc rw - proc proc rw\n")
    with pytest.raises(FileNotFoundError):
        machine_probes.cgroups(proc)
