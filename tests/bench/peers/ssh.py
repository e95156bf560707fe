"""OpenSSH as a peer: a private sshd on 127.0.0.1 and one ControlMaster connection to it.

Own host key, own client key, own configuration in a scratch folder; ~/.ssh is not read. Nor is
the user's ~/.bashrc, which bash reads under sshd: what it does is not ssh's cost, and may be
several times ssh's (HOME is the scratch folder there).
"""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..child import ForegroundDaemon
from ..proc import call, free_ports, marked, scratch, timed
from . import Package, need

PACKAGE = Package("apt", ("openssh-server", "openssh-client"))

_SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/client_key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
MaxSessions 100
SetEnv HOME={folder}
"""

_SSH_CONFIG = """\
Host node
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/client_key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  ControlPath {folder}/control
"""


class Ssh:
    """A connected ssh; `run` times one command over the shared connection."""

    def __init__(self, prefix: list[str], env: dict[str, str]) -> None:
        self._prefix = prefix
        self.env = env

    def run(self, argv: Sequence[str]) -> float:
        """Wall seconds of `ssh node ARGV` through the ControlMaster, from spawn to exit."""
        return timed(self.command(argv), self.env).seconds

    def command(self, argv: Sequence[str]) -> list[str]:
        """The argv that runs `argv` through the ControlMaster."""
        return [*self._prefix, "node", shlex.join(argv)]


@contextmanager
def _privilege_folder() -> Iterator[None]:
    """/run/sshd, without which root's sshd refuses; taken away again if it was not there."""
    folder = Path("/run/sshd")
    if os.geteuid() != 0 or folder.is_dir():
        yield
        return
    folder.mkdir(mode=0o755)
    try:
        yield
    finally:
        folder.rmdir()


def _write_config(folder: Path, keygen: str, env: dict[str, str]) -> int:
    for name in ("host_key", "client_key"):
        call([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], env)
    port = free_ports(1)[0]
    kind, key = (folder / "host_key.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    user = pwd.getpwuid(os.geteuid()).pw_name
    for name, text in (("sshd_config", _SSHD_CONFIG), ("ssh_config", _SSH_CONFIG)):
        (folder / name).write_text(text.format(port=port, folder=folder, user=user))
    return port


@contextmanager
def ssh() -> Iterator[Ssh]:
    """A private sshd with a master connection. Unavailable: not installed. BenchError."""
    sshd, client, keygen = (need(name, PACKAGE) for name in ("sshd", "ssh", "ssh-keygen"))
    with ExitStack() as stack:
        folder = stack.enter_context(scratch("ssh"))
        stack.enter_context(_privilege_folder())
        env = marked()
        port = _write_config(folder, keygen, env)
        daemon = stack.enter_context(
            ForegroundDaemon([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], env)
        )
        daemon.wait_for(f"Server listening on 127.0.0.1 port {port}")
        prefix = [client, "-F", str(folder / "ssh_config")]
        # The master holds one session whose end is the end of its stdin: the line it prints
        # says that the connection stands, and closing stdin ends it without a signal.
        master = stack.enter_context(
            ForegroundDaemon([*prefix, "-M", "node", "echo ready; cat"], env, stdin=True)
        )
        master.wait_for("^ready$")
        call([*prefix, "-O", "check", "node"], env)
        yield Ssh(prefix, env)
