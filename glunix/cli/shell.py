"""`glunix shell` (`make shell`): a shell with a cluster that lives exactly as long as it."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from glunix.cli import completion
from glunix.cli.scratch import scratch_cluster

_RC = """\
[ -f ~/.bashrc ] && . ~/.bashrc
PATH={path}
PS1="(glunix) ${{PS1:-\\\\w\\\\$ }}"
. {completion}
"""


def run_shell(args: argparse.Namespace) -> int:
    """Run $SHELL (bash without one); return its exit status, 128 + signal if one ended it."""
    with scratch_cluster(args.nodes) as env:
        if sys.stdin.isatty():
            print(f"A cluster of {args.nodes} nodes runs while this shell does. Try: glustat")
            print("     glurun hostname      glurun -T hostname      glurun -n 4 -l hostname")
        command = _command(os.environ.get("SHELL", "") or "bash", env)
        before = {number: signal.signal(number, signal.SIG_IGN) for number in _TERMINAL}
        try:
            code = subprocess.run(
                command, env=env, check=False, preexec_fn=_default_signals
            ).returncode
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return code if code >= 0 else 128 - code


_TERMINAL = (signal.SIGINT, signal.SIGQUIT)


def _default_signals() -> None:
    """Give the shell the terminal's signals back that its parent ignores meanwhile."""
    for number in _TERMINAL:
        signal.signal(number, signal.SIG_DFL)


def _command(shell: str, env: dict[str, str]) -> list[str]:
    """For an interactive bash, also completion and a prompt that says where one is."""
    if Path(shell).name != "bash" or not sys.stdin.isatty():
        return [shell]
    folder = Path(env["GLUNIX_DIR"]).parent
    words = folder / "completion"
    words.write_text(completion.bash())
    start = folder / "bashrc"
    start.write_text(_RC.format(path=shlex.quote(env["PATH"]), completion=shlex.quote(str(words))))
    return [shell, "--rcfile", str(start)]
