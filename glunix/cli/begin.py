"""The first lines of every tool, and where the modules of its launch come from.

What start.c had to put aside is put back, and ps(1) shows the tool's name. The modules that
`glurun` needs are in one file beside the scripts, compiled: one open instead of ten calls for each
of them. A module whose source has another time or size than when that file was made is imported as
ever, so the file need never be right, and without it nothing is different but the time.

No imports but what the interpreter has loaded itself.
"""

import _signal
import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Row = tuple[str, bool, int, int, bytes]
    """A module: its source, whether it is a package, the source's st_mtime_ns and st_size, and its
    marshalled code."""

NAME = ".glunix-modules"
"""The file, beside the scripts: the interpreter's magic number, then a marshalled dict of rows."""


class Modules:
    """Finds and loads (importlib.abc) what is in `rows`: name -> Row."""

    def __init__(self, rows: "dict[str, Row]") -> None:
        self.rows = rows

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The module's, if its source is as it was."""
        row = self.rows.get(name)
        if row is None:
            return None
        source, is_package, changed, size, _ = row
        try:
            found = posix.stat(source)
        except OSError:
            return None
        if (found.st_mtime_ns, found.st_size) != (changed, size):
            return None
        make: type = type(sys.__spec__)  # ModuleSpec, without importing importlib.machinery
        spec: ModuleSpec = make(name, self, origin=source, is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [source.rpartition("/")[0]]
        return spec

    def create_module(self, spec: "ModuleSpec") -> None:
        """As any module is made."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run its code."""
        exec(marshal.loads(self.rows[module.__name__][4]), module.__dict__)


def begin(name: bytes, rows: "dict[str, Row]") -> None:
    """`name` is the tool's; `rows` is empty where there is no such file."""
    if rows:
        sys.meta_path.insert(0, Modules(rows))
    notes = sys._xoptions.get("glunix")
    if not isinstance(notes, str):
        return
    for note in notes.split(","):
        if note == "i":
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (2,))
        elif note[:1] == "d":
            fd, _, high = note[1:].partition(":")
            posix.dup2(int(high), int(fd))
            posix.close(int(high))
    try:
        comm = posix.open("/proc/self/comm", posix.O_WRONLY | posix.O_CLOEXEC)
        posix.write(comm, name)
        posix.close(comm)
    except OSError:
        pass  # it is only a name
