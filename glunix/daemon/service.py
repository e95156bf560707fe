"""The daemon of one machine of a cluster: its settings, its certificate, TLS in place of sockets.

Owns putting these together; the daemon itself is glunix.daemon.daemon.
"""

from collections.abc import Callable
from pathlib import Path

from glunix import config
from glunix.comm.logline import say
from glunix.comm.loop import Loop
from glunix.comm.network import TlsNetwork
from glunix.daemon.daemon import Daemon, DaemonConfig
from glunix.errors import GlunixError
from glunix.settings import Settings
from glunix.trust.files import TrustFiles
from glunix.trust.member import Member


def serve(folder: Path, state: Path, settings: Settings, ready: Callable[[], None]) -> int:
    """Serve until told to stop. `folder` holds the certificates, `state` the sockets."""
    member = Member(TrustFiles(config.private(folder)))
    conf = settings.daemon
    if member.me.node != conf.node:
        raise GlunixError(f"the certificate is of {member.me.node}, glunix.toml says {conf.node}")
    loop = Loop()
    network = TlsNetwork(loop, member, settings.cluster.master, conf, say)
    network.bind()
    daemon = Daemon(
        loop,
        DaemonConfig(
            state,
            conf.node,
            conf.accepts_jobs,
            is_home=True,
            limits=settings.limits,
            setuid=conf.setuid,
        ),
        ready,
        network,
        member,
    )
    try:
        return loop.run(daemon.start)
    finally:
        daemon.close()
