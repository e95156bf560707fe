"""Links of a revoked node that stand: closed at once, at the master and at every daemon.

A cluster over TLS on loopback, with one more member, `bad`, that has no daemon: its keys are ours.
It kept its first certificate over two renewals; `glunix revoke` ends all of it.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster, ended, finish, until
from net.loopback import Loopback, loopback

from glunix.msg import master, peer
from glunix.msg.base import encode
from glunix.msg.frame import Deframer, encode_frame
from glunix.trust import certs


@pytest.fixture
def cluster() -> Iterator[Loopback]:
    with loopback() as made:
        yield made


def join(cluster: Loopback, name: str) -> Cluster:
    token = cluster.home.run("glunix", "invite").text
    folder = cluster.folder / name
    words = ["glunix", "join", "--folder", str(folder), "--name", "bad", "--no-start", "--"]
    result = cluster.node.run(*words, cluster.master, token)
    assert result.status == 0, result
    return Cluster(cluster.home.bin, folder)


def kept(cluster: Loopback, bad: Cluster, name: str) -> Cluster:
    """A copy of the keys as they are now."""
    shutil.copytree(bad.folder, cluster.folder / name)
    return Cluster(bad.bin, cluster.folder / name)


def hello() -> bytes:
    told = master.NodeHello(1, 0, "bad", "x", "tcp:127.0.0.1:9", False, 1, 1, [], [], [])
    return encode_frame(0, encode(told))


def renew(cluster: Loopback, bad: Cluster) -> None:
    private = bad.folder / "private"
    request = certs.new_request(certs.load_key((private / "node.key").read_bytes()))
    with cluster.dial(cluster.master, bad) as link:
        link.settimeout(10)
        link.sendall(hello() + encode_frame(0, encode(master.Renew(request))))
        deframer = Deframer()
        while data := link.recv(65536):
            for _, body in deframer.feed(data):
                message = master.master_to_daemon.decode(body)
                if isinstance(message, master.Renewed):
                    (private / "node.crt").write_bytes(message.node_cert)
                    (private / "listen.crt").write_bytes(message.listen_cert)
                    return
    raise AssertionError("not renewed")


def stands(link: socket.socket) -> bool:
    """Whether the other side still has it open."""
    link.settimeout(0.2)
    try:
        while link.recv(65536):
            pass
    except TimeoutError:
        return True
    except (OSError, ssl.SSLError):
        return False
    return False


def served(cluster: Loopback, address: str, who: Cluster) -> bool:
    """Whether a new connection is let in (a refused one hears it after the handshake)."""
    try:
        with cluster.dial(address, who) as link:
            return stands(link)
    except (OSError, ssl.SSLError):
        return False


def test_all_links_of_all_certificates(cluster: Loopback) -> None:
    bad = join(cluster, "bad")
    first = kept(cluster, bad, "first")
    renew(cluster, bad)
    second = kept(cluster, bad, "second")
    renew(cluster, bad)
    doors = {"master": cluster.master, "home": cluster.home_port, "node1": cluster.node_port}
    everyone = {"first": first, "second": second, "last": bad}
    greeting = encode_frame(0, encode(peer.PeerHello(1, 0, "bad", "x")))
    with contextlib.ExitStack() as stack:
        links = {}
        for door, address in doors.items():
            for who, keys in everyone.items():
                link = stack.enter_context(cluster.dial(address, keys))
                link.sendall(hello() if door == "master" and who == "last" else greeting)
                if door != "master" or who == "last":  # there the others never got in
                    links[door, who] = link
        for which, link in links.items():
            assert stands(link), f"{which} did not get in: the test shows nothing"
        assert cluster.home.run("glunix", "revoke", "bad").status == 0
        for which, link in links.items():
            until(lambda link=link: not stands(link), f"the link of {which} ends", 5)
    new = {(door, who) for door, address in doors.items() for who, keys in everyone.items()
           if served(cluster, address, keys)}  # fmt: skip
    assert new == set()
    # The daemons keep it over restarts, also while there is no master to tell them.
    assert cluster.home.run("glunix", "down", timeout=40).status == 0
    assert cluster.node.run("glunix", "down", timeout=40).status == 0
    with ended(cluster.node.start("glunix", "up")) as up:  # which waits for the master
        until(lambda: served(cluster, cluster.node_port, cluster.home), "node1 serves members")
        for who, keys in everyone.items():
            assert not served(cluster, cluster.node_port, keys), who
        assert cluster.home.run("glunix", "up", timeout=40).status == 0
        assert finish(up).status == 0
    # And the name is free for another machine, whose certificate works everywhere.
    fresh = join(cluster, "fresh")
    for door, address in doors.items():
        until(lambda a=address: served(cluster, a, fresh), f"{door} serves the new one", 10)
        for who, keys in everyone.items():
            assert not served(cluster, address, keys), (door, who)
    assert Path(cluster.node.folder / "private" / "revoked.json").exists()
