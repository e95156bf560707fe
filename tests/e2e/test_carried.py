"""What a process inherits beside limits (sched(7), personality(2)) comes along, at both levels."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import Cluster, everybodys_python, make_launchers

SHOW = """
import ctypes, os
libc = ctypes.CDLL(None)
death = ctypes.c_int(-1)
libc.prctl(2, ctypes.byref(death))
read = lambda name: open("/proc/self/" + name).read().strip()
status = dict(line.split(":", 1) for line in read("status").splitlines())
print(sorted(os.sched_getaffinity(0)), os.sched_getscheduler(0),
      os.sched_getparam(0).sched_priority, libc.syscall(252, 1, 0), read("personality"),
      read("oom_score_adj"), libc.prctl(30), oct(os.umask(0)), os.getpriority(0, 0),
      sorted(os.getgroups()), libc.prctl(39, 0, 0, 0, 0), libc.prctl(3), death.value,
      status["CapBnd"].strip())
"""

LAST_CPU = max(os.sched_getaffinity(0))

PREFIXES = {
    "plain": "",
    "affinity": f"taskset -c {LAST_CPU}",
    "batch": "chrt -b 0",
    "idle": "chrt -i 0",
    "fifo": "chrt -f 3",
    "io idle": "ionice -c 3",
    "io lowest": "ionice -c 2 -n 7",
    "personality": "setarch -R",
    "old release": "setarch --uname-2.6",
    "oom": "choom -n 321 --",
    "no new privileges": "setpriv --no-new-privs",
    "bounding": "setpriv --bounding-set=-sys_boot",
    "groups": "setpriv --groups=4,20",
    "nice": "nice -n 7",
    "umask": "sh -c 'umask 027; exec \\\"$@\\\"' sh",
    "slack": "SLACK",
    "all": f"taskset -c {LAST_CPU} chrt -b 0 ionice -c 3 setarch -R choom -n 9 -- nice -n 3",
}
ROOTS = {"fifo", "bounding", "groups"}

SLACK = (
    "-c 'import ctypes, os, sys; ctypes.CDLL(None).prctl(29, 77777);"
    " os.execvp(sys.argv[1], sys.argv[1:])'"
)


@pytest.fixture(scope="module")
def users_tools() -> Iterator[Path | None]:
    """Launchers that every user may run; None: no interpreter is everybody's."""
    python = everybodys_python()
    if python is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="glunix-carried-"))
    folder.chmod(0o755)
    make_launchers(folder, python)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("who", ["as they are", "as a user"])
@pytest.mark.parametrize("what", PREFIXES)
def test_as_natively(shared: Cluster, users_tools: Path | None, what: str, who: str) -> None:
    """Native and both levels, in one line of a shell."""
    python, uid, env = everybodys_python(), None, {}
    if who == "as a user":
        if os.geteuid() != 0 or users_tools is None:
            pytest.skip("needs root, and an interpreter for every user")
        if what in ROOTS:
            pytest.skip("root's to give")
        uid = 20061
        env["PATH"] = f"{users_tools}:{os.environ['PATH']}"
    python = python or sys.executable
    prefix = PREFIXES[what].replace("SLACK", f"{python} -IS {SLACK}").replace('\\"', '"')
    tool = prefix.split(" ", 1)[0]
    if tool and not shutil.which(tool):
        pytest.skip(f"no {tool}")
    seen = [
        shared.shell(f"{prefix} {level} {python} -IS -c '{SHOW}'", uid=uid, cwd="/", env=env)
        for level in ("", "glurun", "glurun -T")
    ]
    if seen[0].status:
        pytest.skip(f"not natively here: {seen[0].complaint}")
    rows = [one.text.replace("] 1 1 0 ", "] 0 1 0 ") if uid else one.text for one in seen]
    # A user's -T job in root's cluster has no_new_privs unless `--setuid` (docs/security.md).
    assert rows == [rows[0]] * 3, seen
    if what == "plain":
        return
    plain = shared.shell(f"{python} -IS -c '{SHOW}'", uid=uid, cwd="/", env=env)
    assert plain.out != seen[0].out, "the prefix changed nothing"
