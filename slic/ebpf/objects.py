"""The compiled form of the BPF programs: where it is, and how clang makes it.

One object serves every x86-64 kernel with BTF (CO-RE), so a wheel carries it for machines without
clang (`slic.ebpf.wheel`). Its name tells the content of the sources: a wheel keeps no times.
"""

import hashlib
import os

from slic.kernel.compiled import Compiled

_HERE = os.path.dirname(__file__)
SOURCES = tuple(
    os.path.join(_HERE, name)
    for name in ("watch.bpf.c", "calls.bpf.c", "jobs.bpf.h", "kernel.bpf.h", "lives.bpf.c")
)
# -mcpu=v3: atomic exchange (Linux 5.12); -g: BTF, without which CO-RE has nothing to go by.
FLAGS = ("-O2", "-g", "-Wall", "-target", "bpf", "-mcpu=v3", "-c")


class _Object(Compiled):
    def name(self) -> str:
        digest = hashlib.sha256()
        for source in SOURCES:
            with open(source, "rb") as file:
                digest.update(file.read())
        return f"watch-{digest.hexdigest()[:12]}.bpf.o"


OBJECT = _Object(SOURCES, FLAGS, ".bpf.o", compiler="clang")
MISSING = "not compiled: clang makes it at installation or when a cluster starts (Debian: clang)"


def path(*folders: str) -> str:
    """The object, beside its source or in one of the folders; made now where that can be.

    OSError ENOENT: there is none, and no clang.
    """
    found = OBJECT.built(*folders) or OBJECT.build(*folders)
    if found is None:
        raise FileNotFoundError(2, MISSING)
    return found
