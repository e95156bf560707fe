"""Signals that a transparent job sends to processes of home, other than its own (kill(2)).

Sent by home's half, which is the user's: the kernel says whom it may signal. The job's own shadows
hear nothing of it, since their processes have had the signal on the node.
"""

from __future__ import annotations

import os
import posix


class OutboundSignals:
    """`root` is the program's shadow, `group` the process group that the job began in, `parent` the
    process that started it (0: look)."""

    def __init__(self, root: int, group: int, parent: int = 0) -> None:
        self._root = root
        self._parent = parent or _everybody().get(root, (0, 0))[0]
        self._half = posix.getpid()
        self._group = group

    def kill(self, pid: int, number: int, group: int, spared: list[int]) -> None:
        """As glunix.msg.shadows.ShadowKill; nobody else than those whom helpers stand for."""
        everybody = _everybody()
        if pid:
            # Its number may be another's by now; a session keeps its leader's.
            is_parent = pid == self._parent == everybody.get(self._root, (0, 0))[0]
            found = [pid] if pid > 1 and (is_parent or pid == posix.getsid(0)) else []
        elif group == self._group:
            found = [one for one, (_, its) in everybody.items() if its == group]
        else:
            return  # one that the job made has nobody of home's
        theirs = [one for one in found if one not in spared and not self._is_ours(one, everybody)]
        for one in theirs:  # at once, or one sees the end of another before its own signal
            try:
                if not pid and posix.getpgid(one) != group:
                    continue  # it has left, or its number is another's by now
                posix.kill(one, number)
            except OSError:
                pass  # it has ended, or is somebody else's

    def _is_ours(self, pid: int, everybody: dict[int, tuple[int, int]]) -> bool:
        if pid == self._root:
            return True
        while pid > 1 and pid != self._half:
            pid = everybody.get(pid, (0, 0))[0]
        return pid == self._half


def _everybody() -> dict[int, tuple[int, int]]:
    """pid -> (parent, process group), by proc(5)."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            found[int(name)] = int(fields[1]), int(fields[2])
    return found
