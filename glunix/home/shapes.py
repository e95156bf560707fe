"""What a node may say of a transparent job: which messages, and what is in them.

Data only; glunix.home.wire checks it. tests/unit/home/test_shapes.py works the table out of the
types of glunix.msg.stream.
"""

from __future__ import annotations

from glunix.home.wire import (
    BOOL,
    CODE,
    COUNT,
    DATA,
    NAME,
    PID,
    REAL_SIGNAL,
    SIGNAL,
    U32,
    USER_LEVEL,
    VNN,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glunix.home.wire import Shape, Shapes

_FD: Shape = ("int", 0, 1023)
_GROUP: Shape = ("int", 0, 2**22)
_U63: Shape = ("int", 0, 2**63 - 1)
_U64: Shape = ("int", 0, 2**64 - 1)
_I64: Shape = ("int", -(2**63), 2**63 - 1)
_PIDS: Shape = ("array", 0, 256, PID)
_PATHS: Shape = ("array", 0, 2, ("bytes", 1, 4096))
_MEMORY: Shape = ("row", 2, (_U63, DATA))
_BILL_LINE: Shape = ("row", 4, (NAME, _U63, _U63, _U63))
_HALF: Shape = ("bytes", 16, 16)

TRANSPARENT: Shapes = {
    **USER_LEVEL,
    "inback": (2, (U32,)),
    "rootexited": (4, (VNN, CODE, SIGNAL, BOOL)),
    "want": (4, (U32, _FD, COUNT, BOOL, _I64)),
    "unwant": (2, (U32,)),
    "ioctl": (6, (U32, _FD, U32, _U64, DATA, BOOL, BOOL)),
    "ioctlpages": (6, (U32, _FD, U32, _U64, ("array", 0, 64, _MEMORY))),
    "homecall": (
        8,
        (
            U32,
            ("str", 1, 32),
            ("int", -1, 1023),
            _PATHS,
            ("array", 0, 8, _I64),
            DATA,
            ("int", 0, 0o777),
        ),
    ),
    "homeclose": (2, (_FD,)),
    "seek": (5, (U32, _FD, _I64, ("int", 0, 4))),
    "back": (3, (_FD, DATA)),
    "bill": (2, (("array", 0, 64, _BILL_LINE),)),
    "shadowswanted": (3, (_GROUP, ("int", 1, 256))),
    "shadowsended": (2, (_PIDS, _PIDS)),
    "shadownamed": (4, (PID, ("bytes", 0, 64), ("bytes", 0, 3072))),
    "shadowkill": (5, (_GROUP, REAL_SIGNAL, _GROUP, _PIDS)),
    "shadowstopped": (3, (PID, BOOL)),
    "shadowmove": (4, (U32, _GROUP, _GROUP, _GROUP)),
    "line": (2, (_HALF,)),
    "lineover": (1, ()),
}
