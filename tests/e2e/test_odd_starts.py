"""Odd starts: what a program finds whose caller has tight limits, few or odd descriptors, or a
directory that no name leads to. Each line runs natively, at user level and under -T, as the tests'
user and as an ordinary one: native Linux is the oracle.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from glunix.home.processes import forkserver_build

from .cluster import Cluster, Result

_users = itertools.count(30000 + os.getpid() % 1000 * 100)
"""Ordinary users who have no other processes: those count in the limit of them."""

LEVELS = ("glurun", "glurun -T")

DEEP = "n=$(printf 'd%.0s' $(seq 200)); for i in $(seq 25); do mkdir $n; cd $n; done"

DIRECTORIES = {
    "removed": "mkdir a; cd a; rmdir ../a; $G sh -c 'echo ok; ls; ls ..; : >f; echo $?'",
    "removed-name": "mkdir a; cd a; rmdir ../a; $G /bin/pwd; $G readlink /proc/self/cwd",
    "renamed": "mkdir a; cd a; mv ../a ../b; $G /bin/pwd",
    "forbidden-above": "mkdir a a/b; cd a/b; chmod 0 ..; $G cat /etc/hostname | wc -l; "
    "$G cp /etc/hostname f; ls; chmod 700 ..",
    "over-long": f"{DEEP}; $G sh -c 'ls; echo x >f; cat f'; $G pwd | sed s,.*/ddd,ddd,",
}

LIMITS = {
    "n": "ulimit -n 10; $G sh -c 'ulimit -n; ulimit -Hn; echo ok'",
    "soft-n": "ulimit -Sn 10; $G sh -c 'ulimit -n; ulimit -Hn'",
    "u": "ulimit -u 30; $G sh -c 'ulimit -p; echo a | cat'",
    "v": "ulimit -v 50000; $G sh -c 'ulimit -v; echo ok'",
    "f": "ulimit -f 0; $G sh -c 'ulimit -f; echo ok'",
    "f-ignored": "ulimit -f 1; trap '' XFSZ; $G head -c 5000 /dev/zero >w; echo $?; wc -c <w",
    "f-own-file": "ulimit -f 1; $G head -c 5000 /dev/zero | $G dd of=w bs=5000 2>&1 | head -n 0; "
    "wc -c <w",
    "f-output": "(ulimit -f 1; $G head -c 5000 /dev/zero >w; echo $?; wc -c <w) 2>/dev/null",
    "f-short-output": "(ulimit -f 0; $G /bin/echo hi >w; echo $?; wc -c <w) 2>/dev/null",
    "t": "ulimit -t 1; $G sh -c 'ulimit -t; echo ok'",
    "s": "ulimit -s 256; $G sh -c 'ulimit -s; echo ok'",
    "d": "ulimit -d 10000; $G sh -c 'ulimit -d; echo ok'",
    "many": "ulimit -n 10; ulimit -u 40; ulimit -v 50000; ulimit -f 10; ulimit -s 512; "
    "$G sh -c 'ulimit -n; ulimit -v; ulimit -f; ulimit -s; echo ok'",
}

DESCRIPTORS = {
    "no-stdin": "$G sh -c 'ls /proc/self/fd | wc -l; cat; echo $?' <&-",
    "no-stdout": "$G sh -c 'echo ok; echo $? >&2' >&-",
    "no-stderr": "$G sh -c 'echo ok; echo err >&2; echo $?' 2>&-",
    "none": "$G sh -c 'exit 3' <&- >&- 2>&-",
    "200": "exec 200>lock; ulimit -n 150; $G echo ok",
    "900": "exec 900>lock; $G echo ok",
    "900-of-10": "exec 900>lock; ulimit -n 10; $G echo ok",
    "50-more": 'for i in $(seq 10 60); do eval "exec $i>w$i"; done; $G echo ok',
    "fd-0-directory": "$G cat </tmp; $G sh -c 'echo ok; read x; echo $?' </",
    "fd-1-directory": "exec 3</tmp; $G sh -c 'echo hi; echo $? >&2; exit 4' >&3",
    "fd-2-directory": "exec 3</tmp; $G sh -c 'echo hi; echo hi >&2; echo $?' 2>&3",
}

UNLIKE = {
    ("f-ignored", "glurun"): ((b"141", b"199"), "cannot write output: File too large"),
}
"""What user level's status is instead, and what it says: the program writes to a pipe, which is
broken when it goes on, or it had written all (docs/launch.md)."""

LINES = {**DIRECTORIES, **LIMITS, **DESCRIPTORS}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for folders, which everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="glunix-odd-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def ran(cluster: Cluster, folder: Path, line: str, level: str, uid: int) -> Result:
    folder.mkdir()
    os.chown(folder, uid, uid)
    env = {"G": level, "LC_ALL": "C.UTF-8", "GLUNIX_EXIT_ERROR": "199"}
    found = cluster.run("bash", "-c", f"{line}; echo $?", cwd=folder, env=env, uid=uid)
    plain = re.sub(rb"line \d+: +\d+ (.*?) *\$G.*", rb"\1", found.err)
    plain = plain.replace(os.fsencode(folder), b"HERE")
    return Result(found.status, found.out.replace(os.fsencode(folder), b"HERE"), plain)


@pytest.mark.parametrize("level", LEVELS, ids=["user-level", "T"])
@pytest.mark.parametrize("who", ["root", "user"])
@pytest.mark.parametrize("name", LINES)
def test_an_odd_start_is_the_programs(
    shared: Cluster, place: Path, name: str, who: str, level: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to be another user")
    uid = 0 if who == "root" else next(_users)
    native = ran(shared, place / "native", LINES[name], "", uid)
    ours = ran(shared, place / "ours", LINES[name], level, uid)
    if (name, level) in UNLIKE:
        statuses, complaint = UNLIKE[name, level]
        assert ours.out.split(b"\n")[0] in statuses and complaint in ours.complaint
        assert ours.out.split(b"\n")[1:] == native.out.split(b"\n")[1:] and ours != native
        return
    assert ours == native


# -- what is only nice to have -------------------------------------------------------------------

NICE = {
    "its name": ("glurun", "openat", "/proc/self/comm"),
    "the modules' file": ("glurun", "openat", "{tools}/.glunix-modules"),
    "room in the socket": ("glurun", "setsockopt", ""),
    "the direct line's name": ("glurun -T", "bind", ""),
    "the direct line": ("glurun -T", "listen", ""),
    "the highest pid": ("glurun -T", "openat", "/proc/sys/kernel/pid_max"),
    "open descriptors": ("glurun -T", "openat", "/proc/self/fd"),
    "the caller's environment": ("glurun", "openat", "/proc/self/environ"),
    "the compiled shadows": ("glurun -T", "execve", "{shadows}"),
}
"""Level, the call that fails, and the path with which it does (any, if empty)."""


@pytest.mark.parametrize("what", NICE)
def test_what_is_only_nice_to_have_ends_no_job(shared: Cluster, what: str) -> None:
    """Each step fails, which the trace shows, and the job runs as ever."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    level, call, path = NICE[what]
    shadows = forkserver_build.PROGRAM.built(str(shared.folder)) or ""
    path = path.format(tools=shared.bin, shadows=shadows)
    trace = shared.folder / "trace"
    inject = [f"trace={call}", f"inject={call}:error=EPERM"]
    options = [word for one in inject for word in ("-e", one)] + (["-P", path] if path else [])
    line = ["strace", "-f", "-qq", "-o", str(trace), *options, *level.split(), "echo", "ok"]
    result = shared.run(*line, env={"LC_CTYPE": "C", "LC_ALL": ""})
    assert "(INJECTED)" in trace.read_text()
    errors = [word for word in result.err.splitlines() if b"strace: Requested path" not in word]
    assert (result.status, result.out, errors) == (0, b"ok\n", [])
