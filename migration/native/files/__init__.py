"""Kinds of open files: one a file, registered here in the order in which they are tried."""

from __future__ import annotations

from migration.native.files.device import Device, DeviceFile
from migration.native.files.epoll import Epoll, EpollFile
from migration.native.files.eventfd import Event, EventFd
from migration.native.files.inotify import InotifyFile, Watches
from migration.native.files.kind import Kind
from migration.native.files.pipe import Pipe, PipeEnd, PipeFile
from migration.native.files.regular import Named, Nameless, NamelessFile, RegularFile
from migration.native.files.signalfd import SignalFd, SignalFile
from migration.native.files.standard import Standard
from migration.native.files.terminal import Terminal, TerminalFile
from migration.native.files.timerfd import TimerFd, TimerFile
from migration.native.files.unixsocket import SocketFile, UnixSocketEnd, UnixSocketFile
from migration.native.survey import Seen

__all__ = ["KINDS", "AnyFile", "Pipe", "Standard", "UnixSocketEnd", "kind_of", "kind_of_record"]

KINDS: tuple[Kind, ...] = (
    RegularFile(),
    NamelessFile(),
    PipeFile(),
    TerminalFile(),
    DeviceFile(),
    EventFd(),
    TimerFd(),
    SignalFd(),
    EpollFile(),
    InotifyFile(),
    UnixSocketFile(),
    SocketFile(),
)
AnyFile = (
    Device
    | Epoll
    | Event
    | Named
    | Nameless
    | PipeEnd
    | SignalFile
    | Standard
    | Terminal
    | TimerFile
    | UnixSocketEnd
    | Watches
)


def kind_of(seen: Seen) -> Kind | None:
    """The kind of an open file; None: nobody knows it, so it stays."""
    return next((kind for kind in KINDS if kind.is_one(seen)), None)


def kind_of_record(record: AnyFile) -> Kind:
    """The kind that makes what an image has."""
    return next(kind for kind in KINDS if kind.record is type(record))
