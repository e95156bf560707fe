"""Fast launchers: tools that start the interpreter without its `site` module.

A console script made by pip runs `site`, which reads every .pth file: 4 ms and more of a start-up
that should take 16. These scripts say where GLUnix and its libraries are, and nothing else; -I
also keeps a user's PYTHONPATH out of the tools. `make install` runs this after pip.
"""

import argparse
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import glunix
from glunix.cli.common import Parser, run
from glunix.cli.compiling import compile_all
from glunix.errors import GlunixError

DISTRIBUTION = "glunix"
FLAGS = "-IS"
LIBRARIES = ("msgpack", "msgspec", "psutil", "ptrace", "rich", "cryptography")
SHEBANG_MAX = 127
"""Bytes of a first line that every kernel takes (execve(2): 127 before Linux 5.1, then 255)."""

_UNSAFE = set('"$`\\\n\r')


class LauncherError(GlunixError):
    """The launchers cannot be written."""


def places() -> list[Path]:
    """Folders that must be on sys.path: GLUnix's own, then those of its libraries, each once."""
    found = [Path(glunix.__file__).resolve().parent.parent]
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).parent.parent
            if folder not in found:
                found.append(folder)
    return found


def targets() -> dict[str, str]:
    """Tool -> `module:function`, from the installed project, else from the checkout's own file."""
    try:
        entries = importlib.metadata.distribution(DISTRIBUTION).entry_points
        return {entry.name: entry.value for entry in entries if entry.group == "console_scripts"}
    except importlib.metadata.PackageNotFoundError:
        pass
    import tomllib

    project = Path(glunix.__file__).resolve().parent.parent / "pyproject.toml"
    try:
        scripts = tomllib.loads(project.read_text())["project"]["scripts"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        raise LauncherError("GLUnix is neither installed nor in its checkout") from None
    return {str(name): str(value) for name, value in scripts.items()}


def text_of(python: str, folders: Sequence[Path], target: str) -> str | None:
    """One launcher; None when `python` is a path that neither kernel nor shell can be given.

    Short plain paths become a #! line. Others go through sh: its first word is also a Python
    string, so that the same file is a script for both.
    """
    module, _, function = target.partition(":")
    line = f"#!{python} {FLAGS}"
    if len(os.fsencode(line)) > SHEBANG_MAX or set(python) & set(" \t"):
        line = f'#!/bin/sh\n"exec" "{python}" "{FLAGS}" "$0" "$@"'
    if set(python) & _UNSAFE or not python.isprintable():
        return None
    return (
        f"{line}\n"
        # Until the tool knows better, ^C ends it as any program: not with a traceback.
        "import _signal\n"
        "if _signal.getsignal(2) is _signal.default_int_handler:\n"
        "    _signal.signal(2, _signal.SIG_DFL)\n"
        "import sys\n"
        f"sys.path += {[str(folder) for folder in folders]!r}\n"
        f"from {module} import {function}\n"
        f"sys.exit({function}())\n"
    )


def write(folder: Path, python: str, wanted: Mapping[str, str]) -> list[str]:
    """Write a launcher for each tool into `folder`; return the tools left as they are."""
    folders = places()
    left = []
    for name, target in sorted(wanted.items()):
        text = text_of(python, folders, target)
        if text is None:
            left.append(name)
            continue
        fresh = folder / f".{name}.new"
        fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.replace(folder / name)
    return left


def parser() -> argparse.ArgumentParser:
    """The options of this module when run by itself."""
    found = Parser("launchers", description="Write fast launchers beside the interpreter.")
    found.add_argument("folder", nargs="?", type=Path, default=Path(sys.executable).parent)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Write the launchers; say which tools keep pip's script. Make what is written in C, too."""
    args = parser().parse_args(argv)

    def work() -> int:
        wanted = targets()
        try:
            left = write(args.folder, sys.executable, wanted)
        except OSError as error:
            raise LauncherError(f"{args.folder}: {error.strerror}") from None
        compile_all()
        if left:
            print(f"launchers: {sys.executable!r} has odd characters; pip's scripts stay: {left}")
        return 0

    return run("launchers", work)


if __name__ == "__main__":
    sys.exit(main())
