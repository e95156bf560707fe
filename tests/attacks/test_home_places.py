"""Directories that only home has, for a user of root's cluster (glunix.node.calls.layers).

They are made in a layer of the job's: entered as at home, on no disk of the node, with no rights
but the user's, and nowhere that root or the supervisor looks.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster, Result, as_user, descendants, ended, finish, processes

from .rooted import needs_root

pytestmark = needs_root

PYTHON = "/usr/bin/python3"

LINES = (
    "$G sh -c 'cd h/only && pwd && cat a && ls'",
    "$G sh -c 'cd h/only/deep/er && pwd && ls ../.. && cat ../../a'",
    "$G bash -c 'cd h; cd only; cd deep; echo $OLDPWD; cd ..; cat a; cd -; pwd -P'",
    "$G sh -c 'cd h/only && mkdir made && cd made && echo x >f && cat f && pwd'; cat h/only/made/f",
    "$G sh -c 'cd h/only && ls -R . && cat ./a deep/er/b; cd nowhere; cd a; echo $?' 2>/dev/null",
    "cd h/only && $G sh -c 'pwd; cat a; cd deep; cat er/b'",
    "$G $PYTHON -c 'import os\n"
    'os.chdir("h/only/deep"); print(os.getcwd(), os.listdir("."), os.listdir(".."))\n'
    'os.mkdir("new", 0o700); os.chdir("new"); print(os.getcwd(), os.stat("..").st_uid)\n'
    'open("f", "w").write("text"); print(open("../new/f").read())\n'
    'fd = os.open("..", os.O_RDONLY); os.chdir("/"); os.fchdir(fd); print(os.getcwd())\n'
    'os.rename("new/f", "g"); print(sorted(os.listdir(".")), os.path.realpath("g"))\n'
    'try: os.chdir("er/b")\nexcept OSError as error: print(error.strerror)\'',
    "chmod 0 h/only/deep; $G sh -c 'cd h/only/deep; echo $?' 2>/dev/null; chmod 755 h/only/deep",
    "$G sh -c 'cd h/both && ls && cd only && pwd && cat c'",
)


class Place:
    """A user's directory `h`: at home another file system is mounted on it, so that node and home
    differ, as two machines do."""

    def __init__(self, cluster: Cluster, user: int, folder: Path) -> None:
        self.cluster = cluster
        self.user = user
        self.folder = folder
        self.h = folder / "h"
        self.tool = f"glurun -T --home {self.h}"
        (self.h / "both").mkdir(parents=True)
        (self.h / "both" / "on-the-node").touch()
        subprocess.run(["chown", "-R", f"{user}:{user}", str(self.h)], check=True)

    @contextlib.contextmanager
    def begin(self, line: str, tool: str = "") -> Iterator[subprocess.Popen[bytes]]:
        """`line` as the user, in whose namespace home has what the node has not."""
        shelled = f"export G={shlex.quote(tool or self.tool)} PYTHON={PYTHON}; {line}"
        user = shlex.join([*as_user(self.user), "bash", "--norc", "-c", shelled])
        home = (
            "mkdir -p h/only/deep/er h/both/only h/roots/made h/closed/made;"
            "echo text >h/only/a; echo b >h/only/deep/er/b; echo c >h/both/only/c;"
            f"chown -R {self.user}:{self.user} h"
        )
        whole = f"mount -t tmpfs none h && {{ {home}; }} && exec {user}"
        words = ["unshare", "-m", "bash", "--norc", "-c", whole]
        with ended(self.cluster.start(*words, uid=0, cwd=self.folder)) as process:
            yield process

    def run(self, line: str, tool: str = "") -> Result:
        """How it ends."""
        with self.begin(line, tool) as process:
            return finish(process, timeout=60)


@pytest.fixture
def there(shared: Cluster, nobody: int, place: Path) -> Place:
    return Place(shared, nobody, place / "user")


@pytest.mark.parametrize("line", LINES)
def test_as_at_home(there: Place, line: str) -> None:
    native = there.run(line, "command")
    assert native.out
    ours = there.run(line)
    assert (ours.out, ours.err, ours.status) == (native.out, native.err, native.status)
    # What only home has is nowhere on the node's disk.
    assert os.listdir(there.h) == ["both"]
    assert os.listdir(there.h / "both") == ["on-the-node"]


ENTER = """
import os, sys
for name in sys.argv[1:]:
    try:
        os.chdir(name)
        print(os.getcwd())
    except OSError as error:
        print(error.strerror)
"""


def entered(there: Place, *names: object, tool: str = "") -> list[str]:
    """Which of these a job finds that it can be in, or why not."""
    words = shlex.join(["-c", ENTER, *map(str, names)])
    result = there.run(f"$G $PYTHON {words}", tool)
    assert result.status == 0, result
    return result.text.split("\n")


def test_nothing_is_made_in_what_is_roots(there: Place) -> None:
    h = there.h
    names = [h / "roots" / "made", h / "closed" / "made", h / "both" / "only"]
    assert entered(there, *names) == [str(name) for name in names]
    (h / "roots").mkdir(0o755)
    (h / "closed").mkdir(0o700)
    assert entered(there, *names) == ["Permission denied", "Permission denied", str(names[2])]
    assert not os.listdir(h / "roots")
    assert not os.listdir(h / "closed")


def test_nothing_is_laid_over_what_is_not_the_users(there: Place) -> None:
    """The log says why, once, and the job runs; what the node has can be entered."""
    h = there.h
    os.chown(h, 0, 0)
    names = [h / "only", h / "both"]
    assert entered(there, *names) == ["No such file or directory", str(h / "both")]
    logs = "".join(there.cluster.log(name) for name in there.cluster.nodes())
    said = [line for line in logs.splitlines() if str(h) in line]
    assert len(said) == 1, said
    assert "another user's" in said[0]
    os.chown(h, there.user, there.user)
    assert entered(there, *names) == [str(name) for name in names]


def test_a_directory_that_is_reached_by_a_link(there: Place) -> None:
    os.symlink(there.h, there.folder / "link")
    link = there.folder / "link"
    line = f"cd {link}/only && pwd && cat a"
    assert there.run(line, "command").text == f"{link}/only\ntext"
    tool = f"glurun -T --home {link} --home {there.h}"
    result = there.run(f"$G sh -c {shlex.quote(line)}", tool)
    assert result.text.split("\n")[-1] == "text", result


LOOK = """
import os, sys, time
os.chdir(sys.argv[1])
print("in", flush=True)
time.sleep(60)
"""


def mounts_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:
        return ""


def test_the_supervisor_looks_past_the_layers(there: Place) -> None:
    """They are in the mount namespace of the job's PID namespace, not in the supervisor's."""
    words = shlex.join([PYTHON, "-c", LOOK, str(there.h / "only")])
    with there.begin(f"exec $G {words}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        whole = processes()
        guests = [
            pid
            for member in there.cluster.nodes().values()
            for pid in descendants(member.pid, whole)
        ]
        having = {pid for pid in guests if str(there.h) in mounts_of(pid)}
        assert having  # the job's own
        supervisors = {
            pid
            for pid in guests
            if whole[pid][0] in {m.pid for m in there.cluster.nodes().values()}
        }
        assert supervisors
        assert not having & supervisors
        inside = {namespace for pid, (_, namespace) in whole.items() if pid in having}
        assert len(inside) == 1
