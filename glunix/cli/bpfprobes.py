"""Tries of the BPF programs that SLIC comes with, and of BCC (`glunix doctor`).

All programs are tried once, together where that works (`slic.ebpf.loader.probe`); each row then
tells of its own.
"""

import errno
from functools import cache

from slic.ebpf import bcc, loader


@cache
def _findings() -> dict[str, loader.Finding]:
    return {finding.program.name: finding for finding in loader.probe()}


def program(name: str) -> str:
    """Where a program is attached; OSError with the kernel's own words."""
    found = _findings()[name]
    if found.refused is not None:
        raise OSError(found.code, found.refused)
    return found.program.tracepoint


def inline() -> str:
    """Where BCC is; OSError ENOENT: nowhere."""
    where = bcc.found()
    if where is None:
        raise OSError(errno.ENOENT, bcc.MISSING)
    return where
