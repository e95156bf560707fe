"""Who of a transparent job gets a signal that came from home."""

import contextlib
import os
import signal
from collections.abc import Collection

from glunix.node.processes.outbound_signals import DISMISS, FLUSH
from glunix.node.processes.tree import descendants, living_groups

_KEYBOARD = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_EVERYBODY = (signal.SIGHUP, signal.SIGCONT)
_PASSES = 8


def kill_one(pid: int, number: int) -> None:
    """Send one process a signal, unless it has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def deliver(
    number: int, group: int, foreground: int, outlived: bool, helpers: Collection[int] = ()
) -> None:
    """Send what the shadow got to the groups that it is for (pids of the node).

    `group` is the program's; `foreground` the stand-in terminal's, 0 without one. `outlived`: the
    program has ended, and the number of its group may be somebody else's. `helpers` are in these
    groups, too, and get none of what the supervisor says to them with the same signals; nor a
    SIGSTOP, of which nobody could tell whether the job has sent it to home's part of its group.
    """
    groups = _groups(number, group, foreground, outlived)
    if number in (DISMISS, FLUSH, signal.SIGSTOP):
        _to_each(number, groups, helpers)
        return
    for one in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(one, number)


def _to_each(number: int, groups: set[int], helpers: Collection[int]) -> None:
    """Also those that are forked meanwhile, by processes that have not got it yet."""
    done: set[int] = set(helpers)
    for _ in range(_PASSES):
        found = [pid for pid in descendants() if pid not in done]
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) in groups:
                    os.kill(pid, number)
        done.update(found)
        if not found:
            break


def _groups(number: int, group: int, foreground: int, outlived: bool) -> set[int]:
    """What the keyboard sends is the foreground's."""
    found = {group}
    if foreground > 1 and number in _KEYBOARD:
        found = {foreground}
    elif foreground > 1 and number in _EVERYBODY:
        found = {group, foreground}
    return found & living_groups() if outlived else found
