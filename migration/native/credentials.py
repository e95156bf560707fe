"""A thread's user, groups and capabilities: the last that can fail before a job goes on."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping

from migration.native import proc
from migration.native.inject import Batch
from migration.native.making import RestoreFailed
from migration.native.model import Credentials

PRCTL = 157
PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_SET_NO_NEW_PRIVS = 24, 28, 47, 38
SETGROUPS, SETRESUID, SETRESGID, SETFSUID, SETFSGID, CAPSET = 116, 117, 119, 122, 123, 126
_KEEP_CAPS = 1 << 4
_AMBIENT_RAISE = 2
_CAPABILITY_VERSION = 0x20080522


def add(batch: Batch, wanted: Credentials, pid: int) -> None:
    """Calls by which a thread of process `pid` gets these and no more: it has all of root's, or is
    the owner's already, with what its stub needed."""
    found = proc.status(pid)
    if int(found["Uid"].split()[0]):
        _add_owners(batch, wanted, found)
    else:
        _add_from_root(batch, wanted)


def _add_owners(batch: Batch, wanted: Credentials, found: Mapping[str, str]) -> None:
    ids = [[int(word) for word in found[name].split()] for name in ("Uid", "Gid", "Groups")]
    if ids != [wanted.uids, wanted.gids, wanted.groups]:
        raise RestoreFailed("it has other groups, or another user, than it began with")
    head = batch.bytes_at(struct.pack("=II", _CAPABILITY_VERSION, 0))
    batch.add("capset", CAPSET, head, batch.bytes_at(_sets(0, 0, 0)))
    if wanted.no_new_privs:
        batch.add("no_new_privs", PRCTL, PR_SET_NO_NEW_PRIVS, 1)


def _add_from_root(batch: Batch, wanted: Credentials) -> None:
    own_bounding = int(proc.status(os.getpid())["CapBnd"], 16)
    for number in range(64):
        if own_bounding & ~wanted.bounding & 1 << number:
            batch.add(f"drop capability {number}", PRCTL, PR_CAPBSET_DROP, number)
    batch.add("keep capabilities", PRCTL, PR_SET_SECUREBITS, _KEEP_CAPS)
    groups = b"".join(struct.pack("=I", group) for group in wanted.groups)
    batch.add("setgroups", SETGROUPS, len(wanted.groups), batch.bytes_at(groups or bytes(4)))
    batch.add("setresgid", SETRESGID, *wanted.gids[:3])
    batch.add("setfsgid", SETFSGID, wanted.gids[3])
    batch.add("setresuid", SETRESUID, *wanted.uids[:3])
    batch.add("setfsuid", SETFSUID, wanted.uids[3])
    head = struct.pack("=II", _CAPABILITY_VERSION, 0)
    most = own_bounding
    batch.add("capset", CAPSET, batch.bytes_at(head), batch.bytes_at(_sets(most, most, 0)))
    batch.add("securebits", PRCTL, PR_SET_SECUREBITS, wanted.securebits)
    sets = _sets(wanted.effective, wanted.permitted, wanted.inheritable)
    batch.add("capset", CAPSET, batch.bytes_at(head), batch.bytes_at(sets))
    for number in range(64):
        if wanted.ambient & 1 << number:
            batch.add("ambient", PRCTL, PR_CAP_AMBIENT, _AMBIENT_RAISE, number)
    if wanted.no_new_privs:
        batch.add("no_new_privs", PRCTL, PR_SET_NO_NEW_PRIVS, 1)


def _sets(effective: int, permitted: int, inheritable: int) -> bytes:
    low = [word & 0xFFFFFFFF for word in (effective, permitted, inheritable)]
    high = [word >> 32 for word in (effective, permitted, inheritable)]
    return struct.pack("=6I", *low, *high)
