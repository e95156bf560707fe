"""Which file the kernel wants beside a program: a script's `#!` interpreter, an ELF file's loader.

Loaded with the daemon, used in a child whose exec failed: execve(2) says ENOENT both for a program
that is not there and for one whose interpreter is not.
"""

import os
import struct

HEAD = 4096
"""Bytes of a program that are read: the kernel itself reads 256 of a script (binfmt_script)."""

_SCRIPT_HEAD = 256
_PT_INTERP = 3
_ELF = struct.Struct("<4sBB10x HHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_ELFCLASS64, _ELFDATA2LSB = 2, 1


def missing_interpreter(path: bytes) -> bytes | None:
    """The interpreter that the file at `path` names and that is not there; None: nothing is amiss.

    Also None where the file cannot be read: nothing can be said then.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        head = os.pread(fd, HEAD, 0)
        named = _of_script(head) if head.startswith(b"#!") else _of_elf(fd, head)
    except OSError:
        return None
    finally:
        os.close(fd)
    return named if named and not os.path.exists(named) else None


def _of_script(head: bytes) -> bytes:
    words = head[2:_SCRIPT_HEAD].partition(b"\n")[0].strip(b" \t")
    return words.replace(b"\t", b" ").partition(b" ")[0].partition(b"\0")[0]


def _of_elf(fd: int, head: bytes) -> bytes:
    """The loader of a 64-bit program (elf(5), PT_INTERP); empty when it names none."""
    if len(head) < _ELF.size:
        return b""
    magic, kind, order, *fields = _ELF.unpack_from(head)
    if (magic, kind, order) != (b"\x7fELF", _ELFCLASS64, _ELFDATA2LSB):
        return b""
    table, size, count = fields[4], fields[8], fields[9]
    if size != _PROGRAM_HEADER.size:
        return b""
    headers = os.pread(fd, min(count, HEAD // size) * size, table)
    for at in range(0, len(headers) - size + 1, size):
        wanted, _, offset, _, _, length, _, _ = _PROGRAM_HEADER.unpack_from(headers, at)
        if wanted == _PT_INTERP:
            return os.pread(fd, min(length, HEAD), offset).partition(b"\0")[0]
    return b""
