"""cluster.json: what of a cluster was started on this machine.

Owns the file, and what tells one process from a later one with its pid: when it was born.
"""

import json
from pathlib import Path

from glunix import config


class Member:
    """One process of the cluster, told apart from a later one with its pid by its start time."""

    def __init__(self, name: str, pid: int, born: int, isolated: list[str]) -> None:
        self.name = name
        self.pid = pid
        self.born = born
        self.isolated = isolated

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.born != 0 and birth(self.pid) == self.born


def birth(pid: int) -> int:
    """Start time in clock ticks since boot (proc(5), stat field 22); 0 when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def members(folder: Path) -> list[Member]:
    """What cluster.json says was started; empty when there is none or it is damaged."""
    try:
        rows = json.loads((config.private(folder) / "cluster.json").read_text())
        return [Member(str(r["name"]), int(r["pid"]), int(r["born"]), r["isolated"]) for r in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def save(folder: Path, all_members: list[Member]) -> None:
    """Write cluster.json, whole."""
    path = config.private(folder) / "cluster.json"
    draft = path.with_suffix(".new")
    rows = [
        {"name": m.name, "pid": m.pid, "born": m.born, "isolated": m.isolated} for m in all_members
    ]
    draft.write_text(json.dumps(rows))
    draft.replace(path)
