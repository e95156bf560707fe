"""Users as this node's name service knows them (getpwuid, getgrouplist), without long waits.

A name service (LDAP, sssd) that does not answer would stop the loop; a process of ours asks it.
The loop waits a moment for it, which is enough for all that answer; a late answer serves the next
job of that user. Answers are kept for a minute.
"""

import contextlib
import grp
import os
import pwd
import select
import signal
import time

import msgspec

from glunix.errors import Refused
from glunix.ids import Why
from glunix.node.spawn.fork import close_others, fork_child

MOMENT = 0.2
"""Seconds for which a loop waits at the most, once for each user in so many seconds (LATE)."""

FRESH = 60.0
LATE = 10.0
"""Seconds after which who asks and has no answer is ended."""

ANSWER_MAX = 1 << 20


class Account(msgspec.Struct, frozen=True):
    """What this node knows of a user."""

    uid: int
    primary: int
    """The primary group; -1: there is no such user."""
    groups: list[int]
    """All groups, the primary one, too."""
    is_group: bool
    """Whether some group has the user's number."""
    refused: dict[int, str]
    """gid -> name of those groups that were asked about, and are there."""


def look_up(uid: int, names: tuple[str, ...] = ()) -> Account:
    """The user, and the groups with these names or numbers. May last."""
    try:
        entry = pwd.getpwuid(uid)
        primary, groups = entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)
    except KeyError:
        primary, groups = -1, []
    refused = {}
    for name in names:
        with contextlib.suppress(KeyError):
            number = name.isascii() and name.isdecimal()
            refused[int(name) if number else grp.getgrnam(name).gr_gid] = name
    try:
        grp.getgrgid(uid)
    except KeyError:
        return Account(uid, primary, groups, False, refused)
    return Account(uid, primary, groups, True, refused)


class _Asking:
    """One process that asks."""

    def __init__(self, uid: int, names: tuple[str, ...]) -> None:
        self.since = time.monotonic()
        self._said = b""
        self._fd, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

        def body() -> None:
            close_others({theirs})
            os.set_blocking(theirs, True)
            signal.alarm(int(LATE))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
            with os.fdopen(theirs, "wb") as out:
                out.write(msgspec.msgpack.encode(look_up(uid, names)) + b".")

        try:
            fork_child(body)
        except OSError:
            os.close(self._fd)
            raise
        finally:
            os.close(theirs)

    def answer(self, seconds: float) -> bytes | None:
        """All that it said, if that comes within so many seconds."""
        end = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while poll.poll(max(0.0, end - time.monotonic()) * 1000):
            piece = os.read(self._fd, ANSWER_MAX)
            if not piece:
                return self._said
            self._said += piece
        return None

    def close(self) -> None:
        """Its answer is not wanted, or was taken."""
        os.close(self._fd)


_Key = tuple[int, tuple[str, ...]]


class Accounts:
    """The users of this node."""

    def __init__(self) -> None:
        self._known: dict[_Key, tuple[float, Account]] = {}
        self._asking: dict[_Key, _Asking] = {}

    def account(self, uid: int, names: tuple[str, ...] = ()) -> Account:
        """The user, and the groups with these names. Refused when nobody could say so in time."""
        now = time.monotonic()
        key = uid, names
        known = self._known.get(key)
        if known is not None and now - known[0] < FRESH:
            return known[1]
        asking, wait = self._asking.get(key), 0.0
        if asking is None or now - asking.since > LATE:
            if asking is not None:
                self._forget(key)
            try:
                asking, wait = _Asking(uid, names), MOMENT
            except OSError as error:
                text = f"cannot look up uid {uid}: {error.strerror}"
                raise Refused(Why.INTERNAL, text) from None
            self._asking[key] = asking
        said = asking.answer(wait)
        if said is None:
            raise Refused(Why.INTERNAL, f"the name service does not answer about uid {uid}")
        self._forget(key)
        if not said.endswith(b"."):
            raise Refused(Why.INTERNAL, f"the name service failed about uid {uid}")
        found = msgspec.msgpack.decode(said[:-1], type=Account)
        self._known[key] = (now, found)
        return found

    def _forget(self, key: _Key) -> None:
        self._asking.pop(key).close()
