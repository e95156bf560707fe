"""`-T` for who is not root: whatever cluster it is, and however little the kernel allows.

Each situation runs the same lines natively and on a node, as an ordinary user at a login's terminal
(owned by the user, group tty, mode 620), and both must print the same.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.cluster import ROOT, Cluster, as_user, everybodys_python, make_launchers

from glunix.cli.launchers import STARTER

USER = 20031
GROUP_TTY = 5
SECONDS = 120

LINES = (
    "$G sh -c 'hostname; tty; stty -a; test -t 0 -a -t 1 -a -t 2; echo $?'",
    "$G sh -c 'ls -ln $(tty) | cut -d\" \" -f1-3; mesg'",
    "printf 'a\\nb\\n' | { $G sh -c 'read x; echo got $x'; cat; }",
    "printf 'one\\ntwo\\n' | while read -r word; do $G echo $word; done",
    "seq 20000 | $G sort -rn | head -n 1",
    "$G sh -c 'exit 3'; echo $?",
    "echo word | $G cat /dev/stdin",
    "$G sh -c 'echo one >/dev/stdout; echo two >/dev/stderr' 2>&1 | cat",
    "$G sh -c 'echo out; echo err >&2' 2>/dev/null",
    "$G sh -c 'sleep 0.1 & wait; sh -c \"kill -TERM \\$\\$\"; echo $?'",
    "echo text >file; $G cat <file; $G sh -c 'echo more' >>file; cat file",
    "(exec 5<file; $G sh -c 'read x <&5; echo $x'; cat <&5)",
)

PRELUDE = """
cd "$HOME"
{prepare}
for G in '' 'glurun -T'; do
    export G
    echo "== $G"
    . ./lines
done
echo "== over"
{finish}
"""

MACHINES = """
export GLUNIX_DIR=$HOME/cluster
glunix init --listen 127.0.0.1:{master} >log 2>&1 || cat log
sed -i 's/^listen = "0.0.0.0:7118"/listen = "127.0.0.1:{daemon}"/' $GLUNIX_DIR/glunix.toml
sed -i 's/^accepts_jobs = false/accepts_jobs = true/' $GLUNIX_DIR/glunix.toml
glunix up >log 2>&1 || cat log
"""


@dataclass(frozen=True)
class Situation:
    """`words` stand before the user's shell, inside of what makes it the user's."""

    name: str
    words: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()
    """Options of setpriv."""
    prepare: str = ""
    finish: str = ""
    has_gcc: bool = True
    unlike: str = ""
    """What is different: a pattern. docs/security.md and `glunix doctor` say why."""


OWN = "export GLUNIX_DIR=$HOME/cluster; glunix up -n 2 >log 2>&1 || cat log"
DOWN = "glunix down >log 2>&1 || cat log"
SITUATIONS = (
    Situation("roots-cluster"),
    Situation("no-new-privs", rights=("--no-new-privs", "--bounding-set=-all")),
    Situation("own-cluster", prepare=OWN, finish=DOWN),
    Situation("own-machines", prepare=MACHINES, finish=DOWN, unlike="/dev/pts/[0-9]+"),
    Situation("user-namespace", words=("unshare", "-Ur"), unlike=f"1 (0|{USER})$"),
    Situation("own-in-user-namespace", words=("unshare", "-Ur"), prepare=OWN, finish=DOWN),
    Situation("no-gcc", prepare=OWN, finish=DOWN, has_gcc=False),
)


@pytest.fixture(scope="module")
def users_tools() -> Iterator[Path]:
    """Launchers that the user may run from a shell."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become an ordinary user, and for devpts")
    python = everybodys_python()
    if python is None:
        pytest.skip("ordinary users can run no interpreter of this version")
    folder = Path(tempfile.mkdtemp(prefix="glunix-bin-"))
    folder.chmod(0o755)
    make_launchers(folder, python)
    yield folder
    shutil.rmtree(folder)


def _without_gcc(folder: Path, python: str) -> Path:
    """Tools of a copy of the checkout in which nothing is compiled, nor can be."""
    copy = folder / "copy"
    for package in ("glunix", "slic", "migration"):
        shutil.copytree(
            ROOT / package,
            copy / package,
            ignore=shutil.ignore_patterns("*.so", "forkserver-*", "start-*", "__pycache__"),
        )
    found = folder / "tools"
    found.mkdir()
    (found / "gcc").write_text("#!/bin/sh\nexit 1\n")
    (found / "gcc").chmod(0o755)
    nothing = {"PATH": f"{found}:{os.environ['PATH']}", "GLUNIX_DIR": str(folder / "none")}
    make_launchers(found, python, copy, nothing)
    assert not (found / STARTER).exists()
    return found


@pytest.mark.parametrize("situation", SITUATIONS, ids=[one.name for one in SITUATIONS])
def test_the_same_as_natively(shared: Cluster, users_tools: Path, situation: Situation) -> None:
    folder = Path(tempfile.mkdtemp(prefix="glunix-user-"))
    try:
        folder.chmod(0o755)
        tools = users_tools
        if not situation.has_gcc:
            tools = _without_gcc(folder, everybodys_python() or "")
        home = folder / "home"
        home.mkdir()
        (home / "lines").write_text("\n".join(LINES) + "\n")
        ports = {"master": 20000 + os.getpid() % 20000, "daemon": 40001 + os.getpid() % 20000}
        prepare = situation.prepare
        for what, port in ports.items():
            prepare = prepare.replace(f"{{{what}}}", str(port))
        (home / "session").write_text(PRELUDE.format(prepare=prepare, finish=situation.finish))
        os.chown(home, USER, USER)
        native, ours = _session(shared, tools, home, situation)
        assert ours == native, (home / "log").read_text() if (home / "log").exists() else ""
        assert "got a" in native and "more" in native, native
    finally:
        shutil.rmtree(folder)


def _session(
    cluster: Cluster, tools: Path, home: Path, situation: Situation
) -> tuple[list[str], list[str]]:
    """What was printed natively and under -T, by lines."""
    user = [*as_user(USER)[:-1], *situation.rights, "--"]
    shell = shlex.join([*situation.words, "bash", "--norc", "--noprofile", "session"])
    words = [*user, "script", "-qec", shell, "/dev/null"]
    terminals = (
        f"mount -t devpts -o newinstance,gid={GROUP_TTY},mode=620,ptmxmode=666 d /dev/pts && "
        "mount --bind /dev/pts/ptmx /dev/ptmx && exec "
    )
    env = cluster.environment({"HOME": str(home), "TERM": "linux", "LC_ALL": "C.UTF-8"})
    env["PATH"] = f"{tools}:{os.environ['PATH']}"
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", terminals + shlex.join(words)],
        env=env,
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    lines = result.stdout.replace("\r\n", "\n").split("\n")
    if situation.unlike:
        lines = [re.sub(situation.unlike, "UNLIKE", line) for line in lines]
    starts = [at for at, line in enumerate(lines) if line.startswith("== ")]
    assert len(starts) == 3 and result.returncode == 0, result
    return lines[starts[0] + 1 : starts[1]], lines[starts[1] + 1 : starts[2]]
