"""Files that go along with a job where there is no shared file system (glurun --stage).

Loaded only for --stage, and to explain why a node did not find what home has.
"""

from __future__ import annotations

import os
import stat

from glunix.errors import REQUIRED_MISSING, GlunixError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glunix.home.options import Options

FILE_MAX = 256 * 1024 * 1024
"""Bytes of all files of a job (glunix.msg.job.STAGED_MAX)."""

SENT_MAX = 7 * 1024 * 1024
"""Compressed bytes: what fits the first message of a job, beside its environment."""


def _program(name: bytes) -> bytes:
    """The file that `name` means here, as the shell finds it."""
    if b"/" in name:
        return name
    for folder in os.environb.get(b"PATH", b"/usr/bin:/bin").split(b":"):
        path = os.path.join(folder or b".", name)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise GlunixError(f"{os.fsdecode(name)}: command not found here, so it cannot be staged")


def _inside(path: bytes) -> bytes:
    """Its name in the job's directory: the same below the current one, else the last part."""
    plain = os.path.normpath(path)
    if plain == b".." or plain.startswith((b"/", b"../")):
        return os.path.basename(plain)
    return plain


def _read(path: bytes) -> tuple[bytes, int]:
    shown = os.fsdecode(path)
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise GlunixError(f"cannot stage {shown}: not a plain file")
            if found.st_size > FILE_MAX:
                raise GlunixError(f"cannot stage {shown}: over {FILE_MAX >> 20} MiB")
            return file.read(FILE_MAX), stat.S_IMODE(found.st_mode) & 0o777
    except OSError as error:
        raise GlunixError(f"cannot stage {shown}: {error.strerror}") from None


def packed(
    argv: list[bytes], files: list[bytes], chdir: bytes | None
) -> tuple[list[bytes], list[object]]:
    """The command line for the node, and the files as glunix.msg.job.StagedFile has them."""
    import zlib

    if chdir is not None:
        raise GlunixError("--stage gives the job a directory of its own: leave out --chdir")
    program = _program(argv[0])
    names: dict[bytes, bytes] = {}
    for path in [program, *files]:
        name = _inside(path)
        if name in (b".", b""):
            raise GlunixError(f"cannot stage {os.fsdecode(path)!r}: not a plain file")
        if names.setdefault(name, path) != path:
            both = f"{os.fsdecode(names[name])} and {os.fsdecode(path)}"
            raise GlunixError(f"cannot stage both {both}: they would have one name")
    staged: list[object] = []
    size = sent = 0
    for name, path in names.items():
        data, mode = _read(path)
        small = zlib.compress(data, 1)
        size, sent = size + len(data), sent + len(small)
        if size > FILE_MAX or sent > SENT_MAX:
            text = f"at most {SENT_MAX >> 20} MiB compressed, {FILE_MAX >> 20} MiB as they are"
            raise GlunixError(f"the staged files are too large ({text}): use a shared folder")
        staged.append([name, mode, small, len(data)])
    return [b"./" + _inside(program), *argv[1:]], staged


def here_though(step: str, line: str, node: str, options: Options) -> str:
    """What to add to a node's "no such file" when home has it: paths are not the same there."""
    if options.stage is not None or REQUIRED_MISSING in line:
        return ""  # in the second case the node has the program
    try:
        if step == "cwd":
            path = os.getcwdb() if options.chdir is None else options.chdir
            found = os.path.isdir(path)
        elif step == "exec":
            path = _program(options.argv[0])
            found = os.access(path, os.X_OK) and not os.path.isdir(path)
        else:
            return ""
    except (OSError, GlunixError):
        return ""
    if not found:
        return ""
    more = "use -D" if step == "cwd" else "--stage sends it along"
    return f" ({node} does not have it, though it is here: {more}; see glunix doctor --nodes)"
