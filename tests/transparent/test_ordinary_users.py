"""`-T` for who is not root: whatever cluster it is, and however little the kernel allows.

Each situation runs the same lines natively and on a node, as an ordinary user at a login's terminal
(owned by the user, group tty, mode 620), and both must print the same.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from e2e.cluster import Cluster

from .situations import SITUATIONS, Situation, environment, users_home

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
    $AS bash ./lines
done
echo "== over"
{finish}
"""


@pytest.mark.parametrize("situation", SITUATIONS, ids=[one.name for one in SITUATIONS])
def test_the_same_as_natively(shared: Cluster, users_tools: Path, situation: Situation) -> None:
    with users_home(situation, users_tools) as (home, tools):
        (home / "lines").write_text("\n".join(LINES) + "\n")
        session = PRELUDE.format(prepare=situation.prepared(2), finish=situation.finish)
        (home / "session").write_text(session)
        native, ours = _session(shared, tools, home, situation)
        assert ours == native, (home / "log").read_text() if (home / "log").exists() else ""
        assert "got a" in native and "more" in native, native


def _session(
    cluster: Cluster, tools: Path, home: Path, situation: Situation
) -> tuple[list[str], list[str]]:
    """What was printed natively and under -T, by lines."""
    result = subprocess.run(
        situation.at_a_terminal("bash", "--norc", "--noprofile", "session"),
        env=environment(cluster, home, tools),
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
