"""Fast launchers: tools that start the interpreter without its `site` module.

A console script made by pip runs `site`, which reads every .pth file: 4 ms and more of a start-up
that should take 16. These scripts say where GLUnix and its libraries are, and nothing else; -I
also keeps a user's PYTHONPATH out of the tools. `make install` runs this after pip, and a cluster
that starts replaces pip's scripts (`improve`).

The interpreter changes what it finds when it starts: it refuses a directory as standard input, has
its own dispositions of SIGPIPE and SIGXFSZ, says KeyboardInterrupt. So where there is a compiler
the scripts are started by a small program, start.c, of which a copy lies beside them. Without it
they start the interpreter, with those limits: docs/launch.md.
"""

import __future__

import argparse
import importlib.metadata
import importlib.util
import marshal
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import glunix
from glunix import config
from glunix.cli import begin
from glunix.cli.common import Parser, run
from glunix.cluster.native_code import START, compile_all
from glunix.errors import GlunixError

DISTRIBUTION = "glunix"
FLAGS = "-IS"
LIBRARIES = ("msgpack", "msgspec", "psutil", "ptrace", "rich", "cryptography")
SHEBANG_MAX = 127
"""Bytes of a first line that every kernel takes (execve(2): 127 before Linux 5.1, then 255)."""

STARTER = ".glunix-start"
"""start.c's program, beside the scripts."""

LAUNCH = (
    "glunix/__init__.py",
    "glunix/cli/__init__.py",
    "glunix/cli/begin.py",
    "glunix/cli/glurun.py",
    "glunix/config.py",
    "glunix/errors.py",
    "glunix/msg/__init__.py",
    "glunix/msg/frame.py",
)
"""What `glurun` loads besides home's half (tests/unit/test_startup_imports.py)."""

NEED_LIMITS = ("glurun",)
"""Tools whose limits may be raised: they say what they were, and the program gets those."""

_TEXT = """\
import _signal
if _signal.getsignal(2) is _signal.default_int_handler:
    _signal.signal(2, _signal.SIG_DFL)
import gc, marshal, posix, sys
gc.set_threshold(20000)
sys.path += {folders!r}
rows = {{}}
try:
    fd = posix.open({modules!r}, posix.O_RDONLY | posix.O_CLOEXEC)
    data = posix.read(fd, posix.fstat(fd).st_size)
    posix.close(fd)
    if data[:4] == sys.modules["_frozen_importlib_external"].MAGIC_NUMBER:
        rows = marshal.loads(data[4:])
        exec(marshal.loads(rows["glunix.cli.begin"][4]))
except (OSError, ValueError, EOFError, TypeError, KeyError):
    rows = {{}}
if not rows:
    from glunix.cli.begin import begin
begin({name!r}, rows)
from {module} import {function}
sys.exit({function}())
"""
"""Until the tool knows better, ^C ends it as any program: not with a traceback. What is imported is
no garbage: looking for some costs a millisecond of the launch. The rest is glunix.cli.begin."""

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


def text_of(
    python: str,
    folders: Sequence[Path],
    target: str,
    starter: str = "",
    name: str = "",
    modules: Path | None = None,
) -> str | None:
    """One launcher; None when a path is one that neither kernel nor shell can be given.

    Short plain paths become a #! line. Others go through sh: its first word is also a Python
    string, so that the same file is a script for both. `starter`: start.c's program, which is to
    execute `python` for the tool of this `name`; `modules`: the file of the compiled ones.
    """
    module, _, function = target.partition(":")
    words = [python, FLAGS]
    if starter:
        words = [starter, _interpreter(python, starter, name in NEED_LIMITS)]
    line = f"#!{' '.join(words)}"
    if len(os.fsencode(line)) > SHEBANG_MAX or set("".join(words)) & set(" \t"):
        line = '#!/bin/sh\n"exec" ' + " ".join(f'"{word}"' for word in words) + ' "$0" "$@"'
    if any(set(word) & _UNSAFE or not word.isprintable() for word in words):
        return None
    return f"{line}\n" + _TEXT.format(
        folders=[str(folder) for folder in folders],
        modules=str(modules or ""),
        name=os.fsencode(name),
        module=module,
        function=function,
    )


def _interpreter(python: str, starter: str, raises: bool) -> str:
    """The word for start.c; what lies beside it needs no folder, which keeps the #! line short."""
    folder, name = os.path.split(python)
    beside = folder == os.path.dirname(starter)
    return ("+" if raises else "-") + (name if beside else python)


def _put(path: Path, data: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(data)
    fresh.chmod(0o755)
    fresh.replace(path)


def _put_starter(folder: Path) -> str:
    """Copy start.c's program to where the scripts are; empty without one."""
    made = START.build(config.state_folder())
    if made is None:
        return ""
    starter = folder.absolute() / STARTER
    fresh = starter.with_name(f"{STARTER}.new")
    shutil.copyfile(made, fresh)
    fresh.chmod(0o755)
    fresh.replace(starter)
    return str(starter)


def _put_modules(folder: Path) -> Path | None:
    """Compile what the launch of `glurun` needs into one file; None: it cannot be there."""
    rows = {}
    root = places()[0]
    sources = [root / name for name in LAUNCH] + sorted((root / "glunix" / "home").rglob("*.py"))
    for source in [*sources, Path(__future__.__file__)]:
        is_package = source.name == "__init__.py"
        parts = source.relative_to(root).parts[:-1] if source.is_relative_to(root) else ()
        name = ".".join((*parts, *(() if is_package else (source.stem,))))
        try:
            found = source.stat()
            code = compile(source.read_bytes(), str(source), "exec", dont_inherit=True)
        except (OSError, SyntaxError):
            continue
        row = str(source), is_package, found.st_mtime_ns, found.st_size, marshal.dumps(code)
        rows[name] = row
    made = folder.absolute() / begin.NAME
    try:
        _put(made, importlib.util.MAGIC_NUMBER + marshal.dumps(rows))
    except OSError:
        return None
    return made


def write(folder: Path, python: str, wanted: Mapping[str, str]) -> list[str]:
    """Write a launcher for each tool into `folder`; return the tools left as they are."""
    folders = places()
    starter = _put_starter(folder)
    modules = _put_modules(folder)
    left = []
    for name, target in sorted(wanted.items()):
        text = text_of(python, folders, target, starter, name, modules)
        if text is None:
            left.append(name)
        else:
            _put(folder / name, text.encode("utf-8", "surrogateescape"))
    return left


def improve() -> None:
    """Replace what pip, or `write` without a compiler, has put beside this interpreter.

    Only what is ours, by who owns it; nothing else is touched, and what fails changes nothing.
    """
    folder = Path(sys.executable).parent
    try:
        if folder.stat().st_uid != os.geteuid() or START.build(config.state_folder()) is None:
            return
        folders = places()
        wanted = {
            name: target
            for name, target in targets().items()
            if _is_plain(folder / name, target, text_of(sys.executable, folders, target))
        }
        if wanted:
            write(folder, sys.executable, wanted)
    except (OSError, LauncherError):
        pass


def _is_plain(tool: Path, target: str, without: str | None) -> bool:
    """Whether it is pip's script for `target`, or ours `without` start.c."""
    try:
        text = tool.read_text(errors="replace")
    except OSError:
        return False
    module, _, function = target.partition(":")
    line = text.partition("\n")[0]
    is_pips = line == f"#!{sys.executable}" and f"\nfrom {module} import {function}\n" in text
    return text == without or (is_pips and "sys.path" not in text)


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
