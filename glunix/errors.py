"""Errors that a user may see. Each is one line; the exit status goes with the class."""

import enum


class Why(enum.StrEnum):
    """Reason of a refusal or failure, as it travels on the wire."""

    NO_MASTER = "no-master"
    NO_NODE = "no-node"
    NO_JOB = "no-job"
    NOT_YOURS = "not-yours"
    BAD_REQUEST = "bad-request"
    NODE_LOST = "node-lost"
    PROTOCOL = "protocol"
    INTERNAL = "internal"


class GlunixError(Exception):
    """Base of every error that ends in one clear line on stderr."""

    why = Why.INTERNAL


class FrameError(GlunixError):
    """Bytes on a link are not a frame, or a frame is not a message. Closes that link only."""

    why = Why.PROTOCOL


class Refused(GlunixError):
    """The cluster said no; `why` is the machine's word, the text is for the user."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


class NotRunning(GlunixError):
    """No daemon answers in the state folder."""

    why = Why.NO_MASTER
