"""What a daemon asks of a user's session server: start one program.

The message is the contents of a memory file, because a packet is too small for an environment. With
it come descriptors, in this order: the memory file, the status socket, standard input, output and
error, its line to the daemon if it has one, and then any number of cgroup.procs files that the
program is to write itself into, or the folder of the control group that it is to begin in.
"""

from glunix.msg.base import Decoder, Message
from glunix.msg.job import JobSpec, Owner

FIXED = 5
"""Descriptors that always come."""

FDS_MAX = FIXED + 9


class StartProgram(Message, frozen=True, tag="start"):
    """Start it; what becomes of it is said on its status socket (glunix.node.spawn.fork.Report)."""

    spec: JobSpec
    owner: Owner
    env: dict[bytes, bytes]
    begins: bool = False
    """The last descriptor is the folder of a control group."""
    has_line: bool = False
    """After the standard descriptors comes its line to the daemon."""


requests = Decoder(StartProgram, "daemon to session server")
