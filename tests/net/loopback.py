"""A cluster over TLS on this machine's loopback: home with the master, and one node. No root."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from e2e.cluster import Cluster, Member, everybodys_python, make_launchers


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in found:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in found]


class Loopback:
    """Two state folders, two daemons and a master; `home` and `node` run commands there."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="glunix-loop-"))
        self.folder.chmod(0o755)
        tools = self.folder / "bin"
        tools.mkdir()
        make_launchers(tools, everybodys_python() or sys.executable)
        self.home = Cluster(tools, self.folder / "home")
        self.node = Cluster(tools, self.folder / "node1")
        ports = free_ports(3)
        self.master, self.home_port, self.node_port = (f"127.0.0.1:{port}" for port in ports)

    def init(self, **knobs: object) -> None:
        """`glunix init`; root may run jobs where we are root. `knobs` replace values at home."""
        self._good(self.home, "init", "--listen", self.master, "--name", "home",
                   "--daemon-listen", self.home_port)  # fmt: skip
        path = self.home.folder / "glunix.toml"
        allowed = str(os.geteuid() == 0).lower()
        text = path.read_text().replace("allow_root = false", f"allow_root = {allowed}")
        for name, value in knobs.items():
            text, count = re.subn(rf"(?m)^{name} = \S+", f"{name} = {value}", text)
            assert count == 1, name
        path.write_text(text)

    def join(self) -> None:
        """up, invite, join."""
        self._good(self.home, "up")
        token = self._good(self.home, "invite")
        self._good(self.node, "join", "--name", "node1", "--listen", self.node_port, "--",
                   self.master, token)  # fmt: skip

    def _good(self, where: Cluster, *words: str) -> str:
        result = where.run("glunix", *words, timeout=40)
        assert result.status == 0, (words, result)
        return result.text

    def close(self) -> None:
        """It is down and its folder gone."""
        try:
            for where in (self.node, self.home):
                if (where.folder / "glunix.toml").exists():
                    where.run("glunix", "down", timeout=40)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def services(self) -> dict[str, Member]:
        """master, home and node1 with their pids."""
        return {**self.home.members(), **self.node.members()}

    def log(self, name: str) -> str:
        """What a service wrote."""
        return (self.node if name == "node1" else self.home).log(name)

    def dial(self, address: str, who: Cluster | None) -> socket.socket:
        """A TLS connection with the certificate of that machine, or without one (bare TCP)."""
        host, _, port = address.rpartition(":")
        bare = socket.create_connection((host, int(port)), 10)
        if who is None:
            return bare
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        private = who.folder / "private"
        context.load_cert_chain(private / "node.crt", private / "node.key")
        try:
            return context.wrap_socket(bare)
        except BaseException:
            bare.close()
            raise


@contextlib.contextmanager
def loopback(**knobs: object) -> Iterator[Loopback]:
    """A cluster that is up, and gone afterwards."""
    made = Loopback()
    try:
        made.init(**knobs)
        made.join()
        yield made
    finally:
        made.close()
