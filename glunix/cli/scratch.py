"""A cluster for the length of a `with`: fresh state folder, tools on PATH, stopped at the end.

`glunix demo` and `glunix shell` use it. Nothing of it stays, not a process and not a file, even
when its user is killed by SIGKILL.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from glunix.cli import launchers
from glunix.errors import NotRunning

START_DEADLINE = 120.0
STOP_DEADLINE = 60.0


@contextmanager
def scratch_cluster(nodes: int) -> Iterator[dict[str, str]]:
    """Start `nodes` nodes; yield the environment in which the tools find them.

    NotRunning, with the last line of what `glunix up` said, when it does not start. SIGTERM and
    SIGHUP leave the block as an exit does, so that the cluster is stopped.
    """
    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGHUP):
            stack.callback(signal.signal, number, signal.signal(number, _leave))
        base = Path(tempfile.mkdtemp(prefix="glunix-"))
        tools = base / "bin"
        tools.mkdir()
        launchers.write(tools, sys.executable, launchers.targets())
        folder = base / "state"
        env = dict(os.environ)
        for name in ("GLUNIX_NODE", "GLUNIX_NPID", "GLUNIX_VNN", "GLUNIX_DEGREE"):
            env.pop(name, None)
        env["GLUNIX_DIR"] = str(folder)
        path = env.get("PATH", os.defpath)
        env["PATH"] = f"{tools}:{Path(sys.executable).parent}:{path}"
        stack.enter_context(_guardian(tools, base, env))
        _start(tools, env, nodes)
        yield env


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _start(tools: Path, env: dict[str, str], nodes: int) -> None:
    command = [str(tools / "glunix"), "up", "-n", str(nodes)]
    try:
        told = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=START_DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotRunning(f"the cluster did not start within {START_DEADLINE:g} s") from None
    sys.stderr.write(told.stderr if told.returncode == 0 else "")
    if told.returncode != 0:
        lines = told.stderr.strip().splitlines() or [f"status {told.returncode}"]
        raise NotRunning(f"the cluster did not start: {lines[-1]}")


_GUARDIAN = 'read -r _; "$1/glunix" down; rm -rf -- "$2"'


@contextmanager
def _guardian(tools: Path, base: Path, env: dict[str, str]) -> Iterator[None]:
    """Stop the cluster and remove its folder when the block ends, or this process does.

    A process of its own waits for the end of a pipe that only we hold, so that not even SIGKILL
    leaves daemons behind, and a second ^C (it has its own session) does not either.
    """
    command = ["/bin/sh", "-c", _GUARDIAN, "glunix-guardian", str(tools), str(base)]
    with subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as guardian:
        try:
            yield
        finally:
            assert guardian.stdin is not None
            guardian.stdin.close()
            try:
                guardian.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                guardian.kill()
                print(f"glunix: the cluster in {base} did not stop", file=sys.stderr)
