"""The stub that waits where a job is to be: a program of one page. Imports little: a supervisor has
it, too."""

from __future__ import annotations

import struct

BASE = 0x10000000
"""Where the stub of a site is. A job may have something there: the stub moves away first."""

PAGE = 4096

# mov eax, 34 (pause); syscall; jmp back
_WAITS = b"\xb8\x22\x00\x00\x00\x0f\x05\xeb\xf7"
_HEADERS = 64 + 56
SYSCALL_AT = _HEADERS + 5


def stub_program(base: int) -> bytes:
    """A static ELF file of one page that is loaded at `base` and waits for ever (elf(5))."""
    size = _HEADERS + len(_WAITS)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, PAGE)
    return ident + header + segment + _WAITS
