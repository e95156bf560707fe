"""A step of the build of a wheel (pyproject.toml): the BPF object goes into it, where clang is.

So a machine without clang can be given a wheel made on one with it. Runs inside setuptools' build,
where the project is not installed: it finds it by its own place.
"""

import os
import sys
from pathlib import Path

from setuptools.command.build_py import build_py

_ROOT = str(Path(__file__).resolve().parents[2])


class BuildPy(build_py):  # type: ignore[misc, unused-ignore]
    """build_py, and the object beside its sources in what is built."""

    def run(self) -> None:
        super().run()
        if getattr(self, "editable_mode", False):
            return  # made beside the sources by glunix.cli.launchers, as the other parts in C
        sys.path.insert(0, _ROOT)
        try:
            from slic.ebpf.objects import OBJECT
        finally:
            sys.path.remove(_ROOT)
        target = os.path.join(self.build_lib, "slic", "ebpf")
        # The fresh tree only: an object beside the sources would not be in the wheel.
        if OBJECT.make(target) is None:
            print(f"no {OBJECT.name()} in the wheel: it needs clang", file=sys.stderr)
