"""What is written in C: where its compiled form is, and how a compiler makes it.

Made when the project is installed and when a cluster starts, by whoever may write there; who needs
it only looks for it, and has another way without it.
"""

from __future__ import annotations

import os

NO_LIBC = (
    "-std=gnu11", "-Os", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie",
    "-fno-asynchronous-unwind-tables", "-nostdlib", "-static", "-Wl,--build-id=none",
)  # fmt: skip
"""Flags for a static program without libc."""


class Compiled:
    """A C source, with what it includes, and the file made from it."""

    def __init__(
        self,
        sources: tuple[str, ...],
        flags: tuple[str, ...],
        suffix: str = "",
        compiler: str = "gcc",
    ) -> None:
        """`sources` are paths, the first is compiled; `flags` are the compiler's; the file's name
        ends in `suffix`."""
        self._sources = sources
        self._source = sources[0]
        self.flags = flags
        self._suffix = suffix
        self.compiler = compiler

    @property
    def beside(self) -> str:
        """The folder of the source."""
        return os.path.dirname(self._source)

    def name(self) -> str:
        """The file's name: another one for another source. OSError without the source."""
        found = [os.stat(source) for source in self._sources]
        size, changed = sum(one.st_size for one in found), max(int(one.st_mtime) for one in found)
        stem = os.path.basename(self._source).removesuffix(".c")
        return f"{stem}-{size:x}-{changed:x}-{os.uname().machine}{self._suffix}"

    def built(self, *folders: str) -> str | None:
        """Its path, beside the source or in one of the folders; None: none that we may trust."""
        try:
            own = self.name()
        except OSError:
            return None
        for folder in (self.beside, *folders):
            path = f"{folder}/{own}"
            try:
                found = os.stat(path)
            except OSError:
                continue
            # Who may write beside the source is who wrote what runs here already.
            ours = folder == self.beside or found.st_uid in (0, os.geteuid())
            if ours and not found.st_mode & 0o022:
                return path
        return None

    def build(self, *folders: str) -> str | None:
        """Make it if it is not there; None when that cannot be (no compiler, or not x86-64)."""
        if (path := self.built(*folders)) is not None:
            return path
        for folder in (self.beside, *folders):
            if (path := self.make(folder)) is not None:
                return path
        return None

    def make(self, folder: str) -> str | None:
        """Make it anew in this folder; None when that cannot be."""
        if os.uname().machine != "x86_64":
            return None
        import subprocess

        path = f"{folder}/{self.name()}"
        fresh = f"{path}.{os.getpid()}"
        try:
            words = [self.compiler, *self.flags, "-o", fresh, self._source]
            if subprocess.run(words, capture_output=True, timeout=60).returncode == 0:
                os.chmod(fresh, 0o755)
                os.rename(fresh, path)
                return path
        except (OSError, subprocess.TimeoutExpired):
            pass
        return None
