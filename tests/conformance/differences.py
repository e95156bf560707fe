"""The known differences from native of each way to run, and why: the published comparison.

Owns one table a way, subject (guest or real program) -> `Known`. A LIMIT is documented and stays;
an OPEN one is a defect still to be mended, and is reported as an expected failure by the tests. A
difference that is not listed fails the tests, and so does a listed one that is no longer seen,
unless it depends on timing (`always=False`). "Paper" is the GLUnix paper of 1997.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import pytest


class Kind(enum.Enum):
    LIMIT = "documented, stays"
    OPEN = "to be mended"


@dataclass(frozen=True)
class Known:
    """Why a subject differs. hangs: it does not end by itself, so little time is spent on it."""

    why: str
    kind: Kind = Kind.LIMIT
    always: bool = True
    hangs: bool = False


_NOT_THE_STREAM = "paper section 7: stdin is a pipe from the startup, which has read ahead at home"
_TWO_PTYS = "paper section 7: stderr has a pseudo-terminal of its own"
_STATUS = "issue 2 section 3: a job killed by signal N ends glurun with 128+N"

_USER_LEVEL = {
    "signal_from_home": Known(_STATUS),
    "signal_kill_self": Known(_STATUS),
    "stdin_file_offset": Known(_NOT_THE_STREAM),
    "stdin_file_offset-static": Known(_NOT_THE_STREAM),
    "stdin_file_shared": Known(_NOT_THE_STREAM),
    "stdin_socket": Known(_NOT_THE_STREAM),
    "tty_groups": Known(_TWO_PTYS + ", where the job is not in the foreground"),
    "tty_identity": Known(_TWO_PTYS),
    "tty_identity-static": Known(_TWO_PTYS),
    "tty_python": Known(_TWO_PTYS),
    "tty_devtty": Known(
        "with stdin elsewhere, what is typed does not reach the node's /dev/tty, and each line"
        " end becomes \\r\\r\\n (the home terminal is not raw then)",
        Kind.OPEN,
        hangs=True,
    ),
    "tty_hangup": Known(
        "the node's pseudo-terminal stays open when the home terminal hangs up", Kind.OPEN
    ),
    "tty_suspend": Known(
        "a handler of SIGTSTP is passed over: the startup's stop is the job's", Kind.OPEN, False
    ),
}

_TRANSPARENT = {
    "stdin_socket": Known("a socket as stdin is no socket on the node", Kind.OPEN),
    "tty_hangup": Known("no POLLHUP after the home terminal hangs up", Kind.OPEN),
    "tty_suspend": Known(
        "a second SIGCONT now and then, and no stop from a handler", Kind.OPEN, False
    ),
    "tty_readiness": Known("the terminal may stay readable when all is read", Kind.OPEN, False),
}

DIFFERENCES: dict[str, Mapping[str, Known]] = {
    "slic-unotify": {
        "signal_group_once": Known(
            "slic/run.py: a signal to the whole group also comes from the supervisor", always=False
        ),
    },
    "slic-ptrace": {
        "signal_group_once": Known("as under slic-unotify", always=False),
    },
    "slic-ptrace-seccomp": {
        "signal_group_once": Known("as under slic-unotify", always=False),
    },
    "glurun": _USER_LEVEL,
    "glurun-T": _TRANSPARENT,
}


def known(way: str, subject: str) -> Known | None:
    """What is known of `subject` under `way`; None when it must be as native."""
    return DIFFERENCES.get(way, {}).get(subject)


def judge(way: str, subject: str, differences: list[str]) -> None:
    """Fails on an unknown difference and on a known one that is gone; OPEN ones are xfails."""
    expected = known(way, subject)
    if expected is None:
        assert not differences, "\n".join(differences)
    elif not differences:
        assert not expected.always, f"no longer differs, take it off the list: {expected.why}"
    elif expected.kind is Kind.OPEN:
        pytest.xfail(f"{expected.why} ({differences[0][:200]})")
