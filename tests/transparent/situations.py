"""Situations of an ordinary user: whose cluster it is, and how little the kernel allows.

In each the user sits at a login's terminal (owned by the user, group tty, mode 620) of a devpts of
its own. Only root can make them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import GROUP_TTY, ROOT, Cluster, as_user, everybodys_python, make_launchers

from glunix.cli.launchers import STARTER

USER = 20031
CONTAINER = (sys.executable, str(Path(__file__).parent / "guests" / "container.py"))
CONTAINERS_ROOT = 100000
"""As whom the root of such a user namespace is known outside."""

OWN = "export GLUNIX_DIR=$HOME/cluster; glunix up -n {nodes} >log 2>&1 || cat log"
DOWN = "glunix down >log 2>&1 || cat log"
MACHINES = """
export GLUNIX_DIR=$HOME/cluster
glunix init --listen 127.0.0.1:{master} >log 2>&1 || cat log
sed -i 's/^listen = "0.0.0.0:7118"/listen = "127.0.0.1:{daemon}"/' $GLUNIX_DIR/glunix.toml
sed -i 's/^accepts_jobs = false/accepts_jobs = true/' $GLUNIX_DIR/glunix.toml
glunix up >log 2>&1 || cat log
"""
OTHER = (
    "AS='setpriv --reuid=3005 --regid=3005 --clear-groups --'; chmod 777 $HOME; chown 3005 $(tty)"
)


@dataclass(frozen=True)
class Situation:
    """`words` stand before the user's shell, inside of what makes it the user's."""

    name: str
    words: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()
    """Options of setpriv."""
    prepare: str = ""
    """Lines for the user's shell; where they set AS, its words make another user of a command."""
    finish: str = ""
    has_gcc: bool = True
    in_container: bool = False
    """The user is root of a namespace with 65536 ids, as in a rootless container."""
    unlike: str = ""
    """What is different: a pattern. docs/security.md and `glunix doctor` say why."""

    @property
    def owner(self) -> int:
        """Whose files the user's are, seen from here."""
        return CONTAINERS_ROOT if self.in_container else USER

    def prepared(self, nodes: int) -> str:
        """`prepare` for a cluster of so many nodes, where it is one of this machine's own."""
        values = {
            "{nodes}": nodes,
            "{master}": 20000 + os.getpid() % 20000,
            "{daemon}": 40001 + os.getpid() % 20000,
        }
        text = self.prepare
        for word, value in values.items():
            text = text.replace(word, str(value))
        return text

    def at_a_terminal(self, *argv: str) -> list[str]:
        """The words that run this as that user, on a terminal of its own."""
        user = 0 if self.in_container else USER
        shell = shlex.join([*self.words, *argv])
        words = [*as_user(user)[:-1], *self.rights, "--", "script", "-qec", shell, "/dev/null"]
        terminals = (
            f"mount -t devpts -o newinstance,gid={GROUP_TTY},mode=620,ptmxmode=666 d /dev/pts && "
            "mount --bind /dev/pts/ptmx /dev/ptmx && exec "
        )
        outer = CONTAINER if self.in_container else ()
        return [*outer, "unshare", "-m", "sh", "-c", terminals + shlex.join(words)]


IN_CONTAINER = Situation("own-in-container", prepare=OWN, finish=DOWN, in_container=True)
USER_NAMESPACE = Situation("user-namespace", words=("unshare", "-Ur"), unlike=f"1 (0|{USER})$")
OWN_IN_NAMESPACE = Situation(
    "own-in-user-namespace", words=("unshare", "-Ur"), prepare=OWN, finish=DOWN
)
OWN_UNMAPPED = Situation(
    "own-without-ids",
    words=("unshare", "-U"),
    prepare=OWN,
    finish=DOWN,
    unlike="/dev/pts/[0-9]+",
)
SITUATIONS = (
    Situation("roots-cluster"),
    Situation("no-new-privs", rights=("--no-new-privs", "--bounding-set=-all")),
    Situation("own-cluster", prepare=OWN, finish=DOWN),
    Situation("own-machines", prepare=MACHINES, finish=DOWN, unlike="/dev/pts/[0-9]+"),
    USER_NAMESPACE,
    OWN_IN_NAMESPACE,
    OWN_UNMAPPED,
    IN_CONTAINER,
    Situation(
        "roots-in-container", prepare=f"{OWN}\n{OTHER}", finish=DOWN, in_container=True
    ),
    Situation("no-gcc", prepare=OWN, finish=DOWN, has_gcc=False),
)  # fmt: skip


@contextmanager
def users_home(situation: Situation, tools: Path) -> Iterator[tuple[Path, Path]]:
    """The user's home folder, and the tools on its PATH."""
    folder = Path(tempfile.mkdtemp(prefix="glunix-user-"))
    try:
        folder.chmod(0o755)
        if not situation.has_gcc:
            tools = _without_gcc(folder, everybodys_python() or "")
        home = folder / "home"
        home.mkdir()
        os.chown(home, situation.owner, situation.owner)
        yield home, tools
    finally:
        shutil.rmtree(folder)


def environment(cluster: Cluster, home: Path, tools: Path) -> dict[str, str]:
    """The user's."""
    env = cluster.environment({"HOME": str(home), "TERM": "linux", "LC_ALL": "C.UTF-8"})
    env["PATH"] = f"{tools}:{os.environ['PATH']}"
    return env


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
