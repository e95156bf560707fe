"""Kernel state that processes inherit ends at the border, and the submitter's restrictions do not.

A cluster is started from a process with a secret in its session keyring, an inheritable and ambient
capability, an own coredump filter and a protection from the OOM killer. None of it may be found in
a user's job, at either level.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster, ended, everybodys_python, finish

from slic.kernel import capabilities

from .users import ANN, restricted, words_of

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nobody")]

LEVELS = pytest.mark.parametrize("level", [[], ["-T"]], ids=["user", "transparent"])

CALLS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def syscall(*args):
    plain = [ctypes.c_ulong(a & (1 << 64) - 1) if isinstance(a, int) else a for a in args]
    return libc.syscall(*plain)
KEYCTL, ADD_KEY, JOIN, SEARCH, READ, LAST = 250, 248, 1, 10, 11, -3
"""

TAINT = (
    CALLS
    + """
assert syscall(KEYCTL, JOIN, b"glunix-test") > 0
assert syscall(ADD_KEY, b"user", b"glunix-secret", b"hidden", 6, LAST) > 0
sys.path.insert(0, sys.argv[1])
from slic.kernel import capabilities as caps
have = caps.get()
caps.set(have._replace(inheritable=caps.CAP_SYS_ADMIN))
caps.raise_ambient(caps.CAP_SYS_ADMIN)
open("/proc/self/coredump_filter", "w").write("0x7f")
open("/proc/self/oom_score_adj", "w").write("-500")
os.execv(sys.argv[2], sys.argv[2:])
"""
)

LOOK = (
    CALLS
    + """
def secret():
    key = syscall(KEYCTL, SEARCH, LAST, b"user", b"glunix-secret", 0)
    if key < 0:
        return "none"
    room = ctypes.create_string_buffer(64)
    size = syscall(KEYCTL, READ, key, room, 64)
    return room.raw[:max(0, size)].decode()
def line(name):
    return next(l for l in open("/proc/self/status") if l.startswith(name)).split()[1]
assert syscall(ADD_KEY, b"user", b"own", b"own", 3, LAST) > 0, "no keyring to look into"
print("secret", secret())
for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
    print(name, int(line(name), 16))
print("filter", open("/proc/self/coredump_filter").read().strip())
print("oom", open("/proc/self/oom_score_adj").read().strip())
print("securebits", libc.prctl(27, 0, 0, 0, 0), "dumpable", libc.prctl(3, 0, 0, 0, 0))
try:
    os.open("/dev/tty", os.O_RDWR)
    print("terminal")
except OSError:
    print("no terminal")
"""
)

SHED = """secret none
CapInh 0
CapPrm 0
CapEff 0
CapAmb 0
filter 00000033
oom 0
securebits 0 dumpable 1
no terminal"""


@pytest.fixture(scope="module")
def tainted(tools: Path) -> Iterator[Cluster]:
    """A cluster whose daemons were started with all that."""
    with Cluster(tools).guarded() as cluster:
        root = str(Path(__file__).resolve().parents[2])
        up = [str(cluster.bin / "glunix"), "up", "-n", "1"]
        words = [sys.executable, "-c", TAINT, root, *up]
        done = subprocess.run(words, env=cluster.environment(), capture_output=True, timeout=40)
        assert done.returncode == 0, done
        yield cluster


def test_the_secret_is_there_for_who_starts_the_cluster() -> None:
    """What the job looks for can be found in this way."""
    words = [sys.executable, "-c", TAINT, str(Path(__file__).resolve().parents[2])]
    done = subprocess.run([*words, sys.executable, "-c", LOOK], capture_output=True, timeout=20)
    lines = done.stdout.decode().split("\n")
    assert lines[0] == "secret hidden", done
    assert "filter 0000007f" in lines, done
    if capabilities.bounding() & capabilities.CAP_SYS_RESOURCE:  # else nobody is protected
        assert "oom -500" in lines, done


@LEVELS
def test_nothing_of_the_daemons_is_inherited(tainted: Cluster, level: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        script = Path(place) / "look.py"
        script.write_text(LOOK)
        words = [*level, "-w", "node1", "/usr/bin/python3", str(script)]
        result = tainted.glurun(*words, uid=ANN)
    assert result.text == SHED, result


SHOW = ["sh", "-c", "grep -E '^(NoNewPrivs|CapBnd)' /proc/self/status | cut -f2"]


@LEVELS
def test_the_submitters_restrictions_are_kept(shared: Cluster, level: list[str]) -> None:
    take = ["--no-new-privs", "--bounding-set=-all"]
    result = restricted(shared, ANN, take, "glurun", *level, *SHOW)
    assert result.text.split() == ["0" * 16, "1"], result


def test_a_smaller_bounding_set_is_kept(shared: Cluster) -> None:
    result = restricted(shared, ANN, ["--bounding-set=-all,+chown"], "glurun", *SHOW)
    assert result.text.split() == [f"{1:016x}", "0"], result


def test_root_that_gave_up_rights_does_not_get_them_back(shared: Cluster) -> None:
    result = restricted(shared, 0, ["--bounding-set=-all,+chown"], "glurun", *SHOW)
    assert result.text.split() == [f"{1:016x}", "0"], result


def test_who_is_not_restricted_is_not(shared: Cluster) -> None:
    own = Path("/proc/self/status").read_text()
    bounding = next(line.split()[1] for line in own.splitlines() if line.startswith("CapBnd"))
    assert shared.glurun(*SHOW, uid=ANN).text.split() == [bounding, "0"]


def test_a_user_namespace_does_not_wash_restrictions_away(shared: Cluster) -> None:
    """In a new one the bounding set is full again; SO_PEERCRED shows the user's own number."""
    launcher = shared.bin / "glurun"
    enter = f"""
import os, sys
import json, socket, struct, select, signal, errno  # before it is somebody who cannot read them
libc = __import__("ctypes").CDLL(None)
assert libc.unshare(0x10000000) == 0
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write("0 {ANN} 1")
open("/proc/self/gid_map", "w").write("0 {ANN} 1")
assert os.getuid() == 0
sys.argv = [{str(launcher)!r}, *{SHOW!r}]
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
"""
    python = everybodys_python() or sys.executable
    command = [*words_of(ANN, "--bounding-set=-all"), python, "-c", enter]
    with ended(shared.start(*command)) as process:
        result = finish(process)
    assert result.text.split() == ["0" * 16, "1"], result
