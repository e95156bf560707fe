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

_OPENED_THERE = Known(
    "fds 0-2 are pipes and stand-ins of the node: how home's are open is not shown", section="7"
)
_THREE = Known("only descriptors 0 to 2 come along; -T carries the others (docs/inherited.md)")
_UNBLOCKED = Known("blocked signals are not carried (docs/inherited.md)")

_USER_LEVEL = {
    "descriptor_append": _OPENED_THERE,
    "descriptor_file_advice": _OPENED_THERE,
    "descriptor_file_events": _OPENED_THERE,
    "descriptor_modes": _OPENED_THERE,
    "descriptor_nonblock": _OPENED_THERE,
    "descriptor_null": _OPENED_THERE,
    "descriptor_output_file": _OPENED_THERE,
    "start_directory_stdin": _OPENED_THERE,
    "start_inherited_pipe": _THREE,
    "start_many_descriptors": _THREE,
    "start_masked": _UNBLOCKED,
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

_TRANSPARENT: dict[str, Known] = {
    "life_asleep_groups": Known(
        "setpgid and setsid wait for home's answer, which is seen as sleep (state S): a signal"
        " that is sent then ends them with EINTR; a listener knows no other wait for one call",
        Kind.OPEN,
        always=False,
    ),
    "start_masked": _UNBLOCKED,
}

_WITH_SLIC = Known("slic run: the program dies with its supervisor, by its parent-death signal")
_FILTER_SEEN = Known("the engine's seccomp filter is seen, as in /proc/self/status")
_STRACE_FILTERS = Known("strace --seccomp-bpf installs a filter, and no_new_privs for it")

_INTERPRETERS_START = Known(
    "slic runs in the caller's interpreter, whose own start changes it (locale, SIGPIPE, fds 0-2)"
)
_SLIC_RUN = {
    "life_parent_death": _WITH_SLIC,
    "start_bare_environment": _INTERPRETERS_START,
    "start_directory_stdin": _INTERPRETERS_START,
    "start_ignored": _INTERPRETERS_START,
    "start_no_locale": _INTERPRETERS_START,
    "start_no_stderr": _INTERPRETERS_START,
    "signal_every_home": Known("slic/run.py: a fault's signal from outside ends slic", Kind.OPEN),
}

DIFFERENCES: dict[str, Mapping[str, Known]] = {
    "strace": {
        "life_seccomp": _STRACE_FILTERS,
        "life_no_new_privs": _STRACE_FILTERS,
        "life_prctl": _STRACE_FILTERS,
        "life_status_file": _STRACE_FILTERS,
    },
    "slic-unotify": {
        **_SLIC_RUN,
        "life_asleep_groups": Known("a caught call is seen asleep", always=False),
        "life_seccomp": _FILTER_SEEN,
        "signal_group_once": Known(
            "slic/run.py: a signal to the whole group also comes from the supervisor", always=False
        ),
    },
    "slic-ptrace": {
        **_SLIC_RUN,
        "signal_group_once": Known("as under slic-unotify", always=False),
    },
    "slic-ptrace-seccomp": {
        **_SLIC_RUN,
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
