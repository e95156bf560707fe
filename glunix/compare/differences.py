"""The known differences from native of each way to run, and why: the published comparison.

Owns one table a way, subject (guest or real program) -> `Known`. A LIMIT is documented and stays;
an OPEN one is a defect still to be mended, and is reported as an expected failure by the tests. A
difference that is not listed fails the tests, and so does a listed one that is no longer seen,
unless it depends on timing or machine (`always=False`). `glunix compare` and the tests judge by
this one list.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Kind(enum.Enum):
    """Whether a difference is to stay."""

    LIMIT = "documented, stays"
    OPEN = "to be mended"


@dataclass(frozen=True)
class Known:
    """Why a subject differs.

    section: of the GLUnix paper (August 1997) that tells of it, if one does.
    hangs: it does not end by itself, so little time is spent on it.
    """

    why: str
    kind: Kind = Kind.LIMIT
    always: bool = True
    hangs: bool = False
    section: str = ""


_NOT_THE_STREAM = Known("stdin is a pipe from the startup, which has read ahead", section="7")
_TWO_PTYS = Known("stderr has a pseudo-terminal of its own", section="7")
_STATUS = Known("a job killed by signal N ends glurun with status 128+N, not by that signal")

_ANOTHER_FILE = Known(
    "stdin is a pipe; not every file tells its extents", always=False, section="7"
)

_USER_LEVEL = {
    "identity_home_name": Known(
        "the node shows its own name, where it has one", always=False, section="7.3"
    ),
    "ioctl_fiemap": _ANOTHER_FILE,
    "ioctl_file": _NOT_THE_STREAM,
    "ioctl_file-static": _NOT_THE_STREAM,
    "ioctl_socket": _NOT_THE_STREAM,
    "ioctl_socket-static": _NOT_THE_STREAM,
    "signal_from_home": _STATUS,
    "signal_kill_self": _STATUS,
    "stdin_file_offset": _NOT_THE_STREAM,
    "stdin_file_offset-static": _NOT_THE_STREAM,
    "stdin_file_shared": _NOT_THE_STREAM,
    "stdin_socket": _NOT_THE_STREAM,
    "tty_groups": Known(
        "stderr has a pseudo-terminal of its own, where the job is not in the foreground",
        section="7",
    ),
    "tty_identity": _TWO_PTYS,
    "tty_identity-static": _TWO_PTYS,
    "tty_python": _TWO_PTYS,
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

_TRANSPARENT: dict[str, Known] = {}

_WITH_SLIC = Known("slic run: the program dies with its supervisor, by its parent-death signal")
_FILTER_SEEN = Known("the engine's seccomp filter is seen, as in /proc/self/status")
_STRACE_FILTERS = Known("strace --seccomp-bpf installs a filter, and no_new_privs for it")

DIFFERENCES: dict[str, Mapping[str, Known]] = {
    "strace": {"life_seccomp": _STRACE_FILTERS, "life_no_new_privs": _STRACE_FILTERS},
    "slic-unotify": {
        "life_parent_death": _WITH_SLIC,
        "life_seccomp": _FILTER_SEEN,
        "signal_group_once": Known(
            "slic/run.py: a signal to the whole group also comes from the supervisor", always=False
        ),
    },
    "slic-ptrace": {
        "life_parent_death": _WITH_SLIC,
        "signal_group_once": Known("as under slic-unotify", always=False),
    },
    "slic-ptrace-seccomp": {
        "life_parent_death": _WITH_SLIC,
        "life_seccomp": _FILTER_SEEN,
        "signal_group_once": Known("as under slic-unotify", always=False),
    },
    "glurun": _USER_LEVEL,
    "glurun-T": _TRANSPARENT,
}


def known(way: str, subject: str) -> Known | None:
    """What is known of `subject` under `way`; None when it must be as native.

    What is listed for `glurun-T` holds on every engine.
    """
    found = DIFFERENCES.get(way, {}).get(subject)
    if found is None and way.startswith("glurun-T-"):
        found = _TRANSPARENT.get(subject)
    return found
