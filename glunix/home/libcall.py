"""Functions of the C library. `import ctypes` would cost 8 ms of a start-up."""

from __future__ import annotations

import _ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Long(_ctypes._SimpleCData):  # type: ignore[type-arg]
    """Also an address."""

    _type_ = "l"


class _Function(_ctypes.CFuncPtr):
    _flags_ = 1 | 8  # FUNCFLAG_CDECL and FUNCFLAG_USE_ERRNO
    _restype_ = Long


def function(name: str, count: int) -> Callable[..., int]:
    """The library's function of that name, which takes `count` longs."""
    program = _ctypes.dlopen(None, 2)  # type: ignore[arg-type]  # NULL: itself and its libraries
    found = _Function(_ctypes.dlsym(program, name))
    found.argtypes = (Long,) * count
    return found
