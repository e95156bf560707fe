"""At home the startup of a transparent job is seen under the name of the program it stands for.

Each line is run at home and under -T; `ps` and `pgrep` at home, of home's session, must find the
same. Limit: a process that gives itself a name (prctl(2), PR_SET_NAME) is not looked at again.
"""

from __future__ import annotations

import pytest

from .compare import Both
from .test_shadows import _spaces

__all__ = ["_spaces"]

KNOWN = (
    'known() { n=0; until [ "$(ps -ww -o args= -p $!)" = "$1" ] || [ $n -gt 250 ]; '
    "do sleep 0.02; n=$((n+1)); done; }; "
)
LONG = " ".join(f"0.00{number}" for number in range(300))

LINES = {
    "ps": f"$G sleep 70.1 & {KNOWN}known 'sleep 70.1'; ps -o comm=,args= -p $!; kill $!; wait",
    "pgrep": (
        f"$G sleep 70.2 & {KNOWN}known 'sleep 70.2'; pgrep -s 0 -x sleep | grep -cx $!; "
        "pgrep -s 0 -f '^sleep 70.2$' | grep -cx $!; pkill -s 0 -f '^sleep 70.2$'; wait $!; echo $?"
    ),
    "after exec": (
        "$G sh -c 'until [ -s go ]; do sleep 0.02; done; exec sleep 70.3' & "
        f"{KNOWN}"
        'known "sh -c until [ -s go ]; do sleep 0.02; done; exec sleep 70.3"; '
        "ps -o comm=,args= -p $!; echo x >go; known 'sleep 70.3'; ps -o comm=,args= -p $!; "
        "kill $!; wait"
    ),
    "words longer than those it was started with": (
        f"$G sh -c 'exec sleep 70.4 {LONG}' & {KNOWN}known 'sleep 70.4 {LONG}'; "
        "ps -o args= -p $!; kill $!; wait"
    ),
    "a script": (
        "printf '#!/bin/sh\\nwhile :; do sleep 0.1; done\\n' >named; chmod +x named; "
        "$G ./named 1 '2 3' & "
        f"{KNOWN}known '/bin/sh ./named 1 2 3'; ps -o comm=,args= -p $!; "
        "tr '\\0' '|' </proc/$!/cmdline; kill $!; wait"
    ),
    "the environment": (
        f"export MARK=kept; $G sleep 70.6 & {KNOWN}known 'sleep 70.6'; "
        "tr '\\0' '\\n' </proc/$!/environ | grep -x MARK=kept; tr '\\0' '|' </proc/$!/cmdline; "
        "kill $!; wait"
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_is_found_under_its_name(both: Both, name: str) -> None:
    both.same(LINES[name], timeout=40)
