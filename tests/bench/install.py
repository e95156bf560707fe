"""Installs the peers, only when asked: Debian packages by apt-get, HyperQueue by pip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .harness import BenchError
from .peers import find, hyperqueue, pdsh, slurm, ssh
from .proc import call, marked

# invoke-rc.d(8): 101 forbids starting a service that a package's installation would start.
_POLICY = Path("/usr/sbin/policy-rc.d")
_FORBID = "#!/bin/sh\nexit 101\n"


@contextmanager
def no_services() -> Iterator[None]:
    """While packages are installed, their services do not start; an own policy is left alone."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(_FORBID)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def install_peers() -> None:
    """Install every peer. BenchError: not root, or a package manager refused."""
    if os.geteuid() != 0:
        raise BenchError("--install-peers needs root (apt-get)")
    apt_get = find("apt-get")
    if apt_get is None:
        raise BenchError("--install-peers knows only apt-get, and there is none")
    env = marked({"DEBIAN_FRONTEND": "noninteractive"})
    names = [name for peer in (slurm, ssh, pdsh) for name in peer.PACKAGE.names]
    with no_services():
        call([apt_get, "update", "-q"], env, deadline=300)
        call([apt_get, "install", "-y", "-q", "--no-install-recommends", *names], env, deadline=900)
    hyperqueue.install()
