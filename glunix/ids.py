"""The names that the whole cluster agrees on: NPID, VNN, node, stream.

Owns nothing but the types and their limits; imports nothing of ours.
"""

import enum
import re
from typing import NewType

Npid = NewType("Npid", int)
"""Network process id: the cluster-wide 32-bit job id (paper 3.1); never 0."""

Vnn = NewType("Vnn", int)
"""Virtual node number: 0..N-1 within one job (paper 3.1)."""

NodeName = NewType("NodeName", str)
StreamId = NewType("StreamId", int)
"""Number of one stream on one link. 0 is the link's own control stream."""

CONTROL = StreamId(0)
NPID_MAX = 2**31 - 1
DEGREE_MAX = 4096

_NODE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?\Z")


def node_name(text: str) -> NodeName:
    """Check that `text` can name a node (RFC 1123, up to 64 characters); ValueError if not."""
    if not _NODE.match(text):
        raise ValueError(f"not a node name: {text!r}")
    return NodeName(text)


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
