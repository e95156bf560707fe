"""A working day on screens: man, git with its pager and editor, a build, a terminal multiplexer.

Each begins with files of its own, the same natively and under -T, where its screens must be the
same cell by cell.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from e2e.cluster import as_tested_user, users_own

from .compare import NATIVE, TRANSPARENT
from .terminal import Step, Terminal, same_screens

MakeTerminal = Callable[..., Terminal]

PROMPT = r"^\$$"
EDITOR = "vim -u NONE -N -i NONE -n"

PAGE = ".TH MINE 1 2001-02-03 here book\n.SH NAME\nmine \\- a page\n.SH DESCRIPTION\n" + "".join(
    f".PP\nParagraph {n} of \\fBmany\\fR in it.\n" for n in range(1, 61)
)
"""Images of machines often come without any manual page."""

FILES: dict[str, dict[str, str]] = {
    "man": {"mine.1": PAGE},
    "make": {
        "rc": "unset MAKELEVEL MAKEFLAGS MFLAGS\n",  # of the make that runs these tests
        "Makefile": "all: a b\n%: %.c\n\tgcc -Wall -o $@ $<\n",
        "a.c": "int main(void) { int unused; return 0; }\n",
        "b.c": "int main(void) { return x; }\n",
    },
    "git": {
        "rc": f'export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_EDITOR="{EDITOR}"\n'
        + "".join(
            f"export GIT_{who}_NAME=Ada GIT_{who}_EMAIL=ada@example.org\n"
            f"export GIT_{who}_DATE=2001-02-03T04:05:06Z\n"
            for who in ("AUTHOR", "COMMITTER")
        ),
        "make": "git init -q -b main .; for i in $(seq 30); do seq $i 50 >numbers; git add numbers;"
        ' git commit -qm "Number $i"; done; echo more >>numbers; echo x >new',
    },
    "tmux": {
        "c": "set -g status off\nset -g default-command \"PS1='> ' exec bash --norc\"\n",
    },
}

SCREENS: dict[str, Sequence[Step]] = {
    "man": [
        ("$G man -l ./mine.1\r", r"^ Manual page mine\.1"),
        (" ", "Paragraph 12 of"),
        ("/graph 40\r", "Paragraph 40 of"),
        ("h", "SUMMARY OF LESS"),
        ("q", "Paragraph 40 of"),
        ("q", PROMPT),
        ("$G man -P cat -l ./mine.1 | head -n4\r", "MINE"),
    ],
    "git": [
        ("$G git log\r", "^:$"),
        (" ", "^:$"),
        ("/Number 9\r", "Number 9"),
        ("q", PROMPT),
        ("$G git add -p\r", "Stage this hunk"),
        ("y\r", PROMPT),
        ("$G git commit\r", "Changes to be committed"),
        ("iwritten in vim\x1b", "^written in vim"),
        ("\x1a", "Stopped"),
        ("fg\r", "^written in vim"),
        (":wq\r", "1 insertion"),
        ("$G git log --oneline -n 3\r", r"^\w+ .*written in vim"),
        ("$G git status\r", "untracked files present"),
        ("$G git rebase -i HEAD~2\r", "^pick"),
        ("ddp:wq\r", "CONFLICT|Successfully|could not apply"),
    ],
    "make": [
        ("$G make -k\r", "not remade because of errors"),
        ("$G tar cvf all.tar a.c b.c Makefile; $G tar tvf all.tar | wc -l\r", "^3$"),
        ("$G ls --color=auto; $G grep --color=auto main a.c\r", "^int main"),
    ],
    "tmux": [
        ("PS1='# ' $G bash --norc -i\r", "^#"),
        ("tmux -S sock -f c new\r", "^>$"),
        ("echo $((6 * 7)); stty size\r", "^24 80"),
        ('\x02"', "──────"),
        ("seq 30\r", "^30$"),
        ("\x02[", r"\[0/"),
        ("\x1b[5~", r"\[\d+/"),
        ("q", "^30$"),
        ("\x02z", "^30$"),
        ("stty size\r", "^24 80"),
        ("\x0csleep 100\r", "sleep 100"),
        ("\x03", r"\^C"),
        ("\x02d", r"\[detached"),
        ("tmux -S sock attach\r", r"\^C"),
        ("exit\r", "^42$"),
        ("exit\r", r"\[exited\]"),
        ("exit 4\r", PROMPT),
        ("echo $?\r", "^4"),
    ],
}  # fmt: skip


def prepare(name: str, folder: Path) -> None:
    for file, content in FILES[name].items():
        (folder / file).write_text(content)
    users_own(folder)
    if name == "git":
        words, _ = as_tested_user(["sh", "-c", ". ./rc; . ./make"])
        subprocess.run(words, cwd=folder, check=True, timeout=30, env={"PATH": os.environ["PATH"]})


@pytest.mark.parametrize("name", SCREENS)
def test_same_screens(terminal: MakeTerminal, name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    ttys = [terminal(level) for level in (NATIVE, TRANSPARENT)]
    for tty in ttys:
        prepare(name, tty.folder)
        tty.run("[ ! -e rc ] || . ./rc")
    try:
        same_screens(*ttys, SCREENS[name])
    finally:
        if name == "tmux":  # its server outlives everybody else
            for tty in ttys:
                words = ["tmux", "-S", str(tty.folder / "sock"), "kill-server"]
                subprocess.run(words, check=False, capture_output=True, timeout=10)
