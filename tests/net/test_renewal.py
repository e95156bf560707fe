"""Certificates that live half a minute: renewed in time, by running daemons, unnoticed by jobs."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from e2e.cluster import ended, finish, read_line, until

from glunix.trust import certs

from .loopback import Loopback

LIFE = 24.0


def ends(folder: Path, name: str) -> float:
    return certs.ends(certs.load_cert((folder / "private" / name).read_bytes()))


def test_renewal() -> None:
    made = Loopback()
    try:
        made.init()
        path = made.home.folder / "glunix.toml"
        text = path.read_text()
        path.write_text(
            text.replace("certificate_days = 90.0", f"certificate_days = {LIFE / 86400}")
        )
        made.join()
        begun = time.time()
        node_end, master_end = ends(made.node.folder, "node.crt"), begun + LIFE
        assert node_end - begun < LIFE + 5
        script = "echo go; read x; echo got $x; exit 6"
        with ended(made.home.start("glurun", "-w", "node1", "sh", "-c", script,
                                   stdin=subprocess.PIPE)) as job:  # fmt: skip
            assert read_line(job) == "go"
            until(lambda: ends(made.node.folder, "node.crt") > node_end, "it is renewed", LIFE)
            assert time.time() < node_end, "too late"
            until(lambda: ends(made.node.folder, "listen.crt") > node_end, "its listener's, too", 5)
            until(lambda: time.time() > max(node_end, master_end) + 1, "the old have expired", 40)
            # A new link both ways needs the new certificates: the node's daemon starts again.
            result = finish(job, b"word\n")
            assert (result.status, result.out) == (6, b"got word\n")
        assert made.node.run("glunix", "down", timeout=40).status == 0
        assert made.node.run("glunix", "up", timeout=40).status == 0
        assert made.home.glurun("-w", "node1", "sh", "-c", "exit 5").status == 5
        assert "the certificate was renewed" in made.log("node1")
    finally:
        made.close()
