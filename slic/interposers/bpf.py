"""`bpf`: a BPF program of your own beside the run, compiled by BCC; its tables when all is over.

    -i bpf:FILE.c        load FILE.c before the program starts, show its tables to standard error

Catches nothing, so it goes with every engine. What BCC needs is told in `slic/ebpf/bcc.py`.
"""

import sys
from typing import Self

from slic.ebpf.bcc import Inline
from slic.interposer import Interposer


class Bpf(Interposer):
    """See the module."""

    confines = False

    def __init__(self, inline: Inline) -> None:
        self._inline = inline

    def finished(self) -> None:
        self._inline.tables(sys.stderr.write)
        self._inline.close()

    @classmethod
    def from_argument(cls, text: str) -> Self:
        if not text:
            raise ValueError("name a file: bpf:FILE.c")
        return cls(Inline(text))
