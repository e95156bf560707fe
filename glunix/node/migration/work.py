"""What a mover does at the source and at the destination (glunix.node.migration.mover).

Imported by movers, and once by a daemon whose first job moves: no supervisor needs it.
"""

from __future__ import annotations

import os
import socket
import time
import traceback
from contextlib import ExitStack
from typing import Literal

from glunix.msg import move
from glunix.node.migration.talk import FREEZE_SECONDS, Talk, pieces
from migration import image
from migration.engine import Reason, Refused
from migration.image import BadImage
from migration.native import proc, refusal, trace
from migration.native.dirty import Way
from migration.native.files.terminal import TERMINAL
from migration.native.frozen import FrozenJob, freeze
from migration.native.making import RestoreFailed
from migration.native.precopy import Precopy, Round, enough
from migration.native.restore import RestoredJob, restore
from migration.native.site import Site
from migration.native.surroundings import Surroundings
from migration.native.survey import Survey
from slic.kernel import pidfd

PRECOPY_FROM = 24 << 20
"""Bytes of memory from which rounds pay: less is copied in the time that arming them takes."""

_TTY_FIELD = 7


def filters(pid: int) -> int:
    """How many seccomp filters a process has."""
    found = proc.status(pid)
    return int(found.get("Seccomp_filters") or int(found.get("Seccomp", "0") != "0"))


def surroundings(root: int) -> Surroundings:
    """What a transparent job has around it."""
    packed = int(proc.stat(root)[_TTY_FIELD])
    return Surroundings(
        terminal=os.makedev(packed >> 8 & 0xFFF, packed & 0xFF | packed >> 12 & 0xFFF00),
        filters=filters(os.getpid()) + 1,
        namespaces=frozenset({"uts"}),
        mounts=frozenset({"/proc", "/dev/pts"}),
    )


def resident(root: int) -> int:
    """Bytes of memory of a job's own that are there."""
    found = 0
    for pid in proc.family(root):
        try:
            found += int(proc.status(pid).get("RssAnon", "0").split()[0]) << 10
        except ProcessLookupError:
            continue
    return found


def orphans(root: int) -> list[Reason]:
    """Processes of the job that are not below its program: their parents have ended."""
    first = root
    while proc.own_number(proc.status(first)["NSpid"]) != 1:
        first = int(proc.status(first)["PPid"])
    own, known = filters(os.getpid()), set(proc.family(root))
    found = []
    for pid in proc.family(first):
        try:
            # Helpers of the supervisor's have no filter.
            if pid not in known and filters(pid) > own:
                name = proc.text(pid, "comm").strip()
                found.append(Reason(pid, "", f"its parent has ended ({name})"))
        except (ProcessLookupError, KeyError):
            continue
    return found


class Source:
    """At the node that the job leaves."""

    def __init__(self, talk: Talk, root: int, folder: str) -> None:
        self._talk = talk
        self._root = root
        self._folder = os.path.join(folder, "image")
        self._around = surroundings(root)
        self._frozen: FrozenJob | None = None
        self._credit = move.WINDOW
        self._before: Precopy | None = None
        self._stack = ExitStack()
        self._sent = {"pages": 0, "job": 0}

    def serve(self) -> None:
        try:
            while True:
                message = self._talk.receive()
                if isinstance(message, move.Taken):
                    self._credit += message.count
                elif isinstance(message, move.Order) and not self._obey(message.what):
                    return
        finally:
            self._stack.close()
            if self._frozen is not None:
                self._frozen.abort()  # nothing after `leave` comes here alive: see `_obey`

    def _obey(self, what: str) -> bool:
        """False: that was the last."""
        try:
            match what:
                case "probe":
                    found = refusal.reasons(Survey.of(self._root, around=self._around))
                    found += orphans(self._root)
                    if found:
                        raise Refused(*found)
                    self._talk.say("movable")
                case "copy":
                    return self._copy()
                case "freeze":
                    return self._freeze()
                case "leave" if self._frozen is not None:
                    self._frozen.leave()
                    self._talk.say("left")
                    return self._wait_for_the_end(self._frozen)
                case "abort":
                    if self._frozen is not None:
                        self._frozen.abort()
                    self._talk.say("aborted")
                    return False
        except Refused as refused:
            self._talk.say("refused", str(refused))
        except (trace.Late, trace.TaskEnded, ProcessLookupError, RuntimeError) as error:
            self._talk.say("refused", f"{error}")
        return True

    def _freeze(self) -> bool:
        before = self._before
        if before is None:
            image.make_folder(self._folder)
        armed = before is not None and before.armed
        self._frozen = freeze(self._root, FREEZE_SECONDS, armed=armed, around=self._around)
        self._talk.say("frozen")
        if found := orphans(self._root):
            raise Refused(*found)
        self._frozen.dump(self._folder, before)
        whole = self._send("pages") and self._end("pages")
        if not (whole and self._send("job") and self._end("job")):
            self._frozen.abort()
            self._talk.say("aborted")
            return False
        self._talk.say("sent")
        return True

    def _copy(self) -> bool:
        """Rounds of pre-copy, each sent before the next; a small job is frozen at once."""
        if resident(self._root) < PRECOPY_FROM:
            self._talk.say("copied")
            return True
        image.make_folder(self._folder)
        self._before = before = self._stack.enter_context(Precopy(self._root, self._folder))
        while before.way is not Way.NONE and not enough(before.rounds):
            begun = time.monotonic()
            before.round()
            if not self._send("pages"):
                self._talk.say("aborted")
                return False
            # What the link takes counts, not what memory gives.
            before.rounds[-1] = Round(before.rounds[-1].copied, time.monotonic() - begun)
        self._talk.say("copied")
        return True

    def _send(self, part: Literal["pages", "job"]) -> bool:
        """What is new in this file of the image; False: the move is over."""
        for piece in pieces(f"{self._folder}/{part}", self._sent[part]):
            if not self._may_send():
                return False
            self._sent[part] += len(piece)
            self._talk.send(move.Part(part, piece))
        return True

    def _end(self, part: Literal["pages", "job"]) -> bool:
        if not self._may_send():
            return False
        self._talk.send(move.Part(part, b""))
        return True

    def _may_send(self) -> bool:
        """Wait until the destination takes more; False: the move is over."""
        while self._credit <= 0:
            message = self._talk.receive()
            if isinstance(message, move.Taken):
                self._credit += message.count
            elif isinstance(message, move.Order) and message.what == "abort":
                return False
        self._credit -= 1
        return True

    def _wait_for_the_end(self, frozen: FrozenJob) -> bool:
        """The tasks die with us, unless the decider, through the daemon, says that they live."""
        while True:
            try:
                message = self._talk.receive()
            except (EOFError, OSError):
                os._exit(1)
            if isinstance(message, move.Order) and message.what == "abort":
                frozen.abort()
                self._talk.say("aborted")
                return False
            if isinstance(message, move.Order) and message.what == "commit":
                frozen.commit()
                self._talk.say("committed")
                return False


class Destination:
    """At the node where the job arrives."""

    def __init__(
        self,
        talk: Talk,
        supervisor: int,
        stub: int,
        doors: tuple[int, int],
        owner: int,
        folder: str,
    ) -> None:
        self._talk = talk
        self._folder = os.path.join(folder, "image")
        self._stub = stub
        self._owner = owner
        handle = os.pidfd_open(supervisor)
        try:
            ours = socket.socket(fileno=pidfd.getfd(handle, doors[0]))
        finally:
            os.close(handle)
        self._site = Site(stub, ours, doors[1])
        self._state = b""
        self._whole: set[str] = set()
        self._restored: RestoredJob | None = None

    def serve(self) -> None:
        image.make_folder(self._folder)
        files = {name: image.create(self._folder, name) for name in (image.PAGES, image.JOB)}
        try:
            while self._whole != {"state", "pages", "job"}:
                message = self._talk.receive()
                if isinstance(message, move.Order):
                    return  # there is one only: to give up
                if isinstance(message, move.Part):
                    self._take(message, files)
        finally:
            for fd in files.values():
                os.close(fd)
        self._build()

    def _take(self, message: move.Part, files: dict[str, int]) -> None:
        if not message.data:
            self._whole.add(message.part)
        elif message.part == "state":
            self._state += message.data
        else:
            view = memoryview(message.data)
            while view:
                view = view[os.write(files[message.part], view) :]
        if message.part != "state":
            self._talk.send(move.Taken(1))

    def _terminal(self) -> int:
        """The one that stands in for the user's."""
        for number in range(3):
            path = f"/proc/{self._stub}/fd/{number}"
            if os.stat(path).st_rdev == surroundings(self._stub).terminal:
                return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        raise OSError("the stub has no terminal")

    def _build(self) -> None:
        state = move.state.decode(self._state)
        terminal = self._terminal()
        try:
            self._restored = restore(
                self._folder,
                {TERMINAL: terminal},
                site=self._site,
                foreground=state.foreground,
                rights=self._owner,
            )
        except (BadImage, RestoreFailed, trace.Late) as error:
            traceback.print_exc()  # into the node's log
            self._talk.say("refused", f"it cannot be built there: {error}")
            return
        finally:
            os.close(terminal)
        stopped = "stopped" if self._restored.is_stopped else ""
        self._talk.say("ready", stopped, self._restored.root)
        while True:
            try:
                message = self._talk.receive()
            except (EOFError, OSError):
                self._restored.close()
                return
            if isinstance(message, move.Order) and message.what == "go":
                self._restored.go()
                self._talk.say("gone")
                return
            if isinstance(message, move.Order):
                self._restored.close()
                return
