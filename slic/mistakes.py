"""A mistake in a user's extension as one line that names the place in his own code. Pure."""

import os
import traceback
from collections.abc import Iterator, Sequence

from slic.policy import UndeclaredVerdict


def mistake(error: BaseException, files: Sequence[str]) -> str | None:
    """`FILE:LINE: TYPE: message` of the innermost place in one of `files` (as the user wrote
    them) or beside it; None if none of them had a part in it."""
    for cause in _causes(error):
        if (place := _place(cause, files)) is not None:
            return f"{place}: {_said(error)}"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _said(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    if isinstance(error, SystemExit):
        return f"it ended the supervisor with exit({error.code!r})"
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _place(error: BaseException, files: Sequence[str]) -> str | None:
    if isinstance(error, SyntaxError) and (name := _named(error.filename or "", files)):
        return f"{name}:{error.lineno or 1}"
    if isinstance(error, UndeclaredVerdict):
        code = getattr(error.handler, "__code__", None)
        if code is not None and (name := _named(code.co_filename, files)):
            return f"{name}:{code.co_firstlineno}"
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if name := _named(frame.f_code.co_filename, files):
            return f"{name}:{line}"
    return None


def _named(path: str, files: Sequence[str]) -> str | None:
    """How the user calls a file: as he named it, or relative to one that he named."""
    real = os.path.realpath(path)
    for file in files:
        own = os.path.realpath(file)
        if real == own:
            return file
        folder = os.path.dirname(own)
        if os.path.dirname(real) == folder and real.endswith(".py"):
            return os.path.join(os.path.dirname(file), os.path.basename(real))
    return None
