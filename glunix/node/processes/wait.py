"""A helper's children, of whom the supervisor is to hear (glunix.node.processes.namespace).

That those have ended who matter is told before they are reaped: a helper can be killed at any
moment, by the job and together with its children (SIGKILL for their group). Whom it had not reaped
is the init's then, which tells of him again; nothing that was not told is gone. All others are the
init's, which nobody inside can kill, and the supervisor looks who is left when it is told.
"""

import os
from collections.abc import Container, Iterator

_CHANGES = os.WSTOPPED | os.WCONTINUED
_CONTINUED = 0xFFFF


def changed(who_matter: Container[int]) -> Iterator[tuple[int, int]]:
    """(pid, wait status) of each child that has changed its state; never waits.

    The end of those `who_matter` can come twice, from two helpers. Whoever asks for the next has
    told of this one.
    """
    while True:
        try:
            seen = os.waitid(os.P_ALL, 0, os.WEXITED | _CHANGES | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if seen is None:
            return
        if seen.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED):
            if seen.si_pid not in who_matter:
                os.waitpid(seen.si_pid, 0)
            yield seen.si_pid, _status(seen)
            if seen.si_pid in who_matter:
                os.waitpid(seen.si_pid, 0)
        else:  # taken first: it may be stopped and continued by turns, or end meanwhile
            seen = os.waitid(os.P_PID, seen.si_pid, _CHANGES | os.WNOHANG)
            if seen is not None:
                yield seen.si_pid, _status(seen)


def _status(seen: os.waitid_result) -> int:
    """As waitpid(2) has it."""
    number: int = seen.si_status
    if seen.si_code == os.CLD_EXITED:
        return number << 8
    if seen.si_code == os.CLD_STOPPED:
        return number << 8 | 0x7F
    if seen.si_code == os.CLD_CONTINUED:
        return _CONTINUED
    return number | (0x80 if seen.si_code == os.CLD_DUMPED else 0)
