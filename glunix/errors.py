"""Errors that a user may see. Each is one line; the exit status goes with the class.

The startup imports this module, so it imports nothing itself (enum alone costs 2 ms).
"""


class GlunixError(Exception):
    """Base of every error that ends in one clear line on stderr."""

    why: str = "internal"
    """The machine's word for it: a glunix.ids.Why."""


class FrameError(GlunixError):
    """Bytes on a link are not a frame, or a frame is not a message. Closes that link only."""

    why = "protocol"


class Refused(GlunixError):
    """The cluster said no; `why` is the machine's word, the text is for the user."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(text)
        self.why = why


class NotRunning(GlunixError):
    """No daemon answers in the state folder."""

    why = "no-master"


REQUIRED_MISSING = "cannot execute: required file not found"
"""A program is there, and its interpreter or loader is not: the shell's words for it."""
