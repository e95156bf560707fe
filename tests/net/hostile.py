"""Run on a lab node: what a user writes who wants another's jobs. Prints what he was told, as JSON.

hostile.py client SOCKET NPID                 on a daemon's Unix socket, by hand
hostile.py daemon PRIVATE MASTER NODE NPID     with the key of an ordinary user's daemon
"""

import contextlib
import json
import socket
import ssl
import sys
from pathlib import Path

import msgpack

ALICE = 60001


def frame(stream: int, message: list[object]) -> bytes:
    body = msgpack.packb(message)
    return msgpack.packb((stream, body))


def heard(link: socket.socket, seconds: float = 3.0) -> list[list[object]]:
    """All messages until the other side closes or is silent for so long."""
    link.settimeout(seconds)
    unpacker = msgpack.Unpacker(max_buffer_size=1 << 24)
    found = []
    try:
        while data := link.recv(65536):
            unpacker.feed(data)
            found += [[stream, *msgpack.unpackb(body)] for stream, body in unpacker]
            if found and seconds > 1:
                link.settimeout(1.0)
    except OSError:
        pass
    return found


def spec(*argv: str) -> list[object]:
    words = [word.encode() for word in argv]
    return [words, {b"PATH": b"/usr/bin:/bin"}, b"/", 0o22, 0, [], None]


def as_client(path: str, npid: int) -> dict[str, object]:
    """Everything that the socket takes, about a job that is somebody else's."""
    tries: dict[str, list[bytes]] = {
        "signal": [frame(0, ["kill", 1, npid, None, 9])],
        "signal one": [frame(0, ["kill", 1, npid, 0, 9])],
        "ask by signal 0": [frame(0, ["kill", 1, npid, None, 0])],
        "run as root": [frame(0, ["submit", 1, spec("id", "-u"), 1, [], [], 0])],
        "run as her": [frame(0, ["submit", 1, spec("id", "-u"), 1, [], [], ALICE])],
        "stop the daemon": [frame(0, ["shutdown", 1])],
        "her jobs": [frame(0, ["jobs", 1, True])],
        "input for her streams": [frame(n, ["in", b"got you\n"]) for n in range(1, 9)],
        "signals on her streams": [frame(n, ["signal", 9, None]) for n in range(1, 9)],
        "a stream of my own making": [
            frame(1, ["start", npid, 1, [0], "home", [0, 0, []], spec("touch", "/forged")])
        ],
    }
    told: dict[str, object] = {}
    for what, frames in tries.items():
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(path)
            with contextlib.suppress(BrokenPipeError):  # cut off after the first
                for data in frames:
                    link.sendall(data)
            told[what] = heard(link, 2.0)
    return told


def dialled(private: Path, address: str) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(private / "node.crt", private / "node.key")
    host, _, port = address.rpartition(":")
    return context.wrap_socket(socket.create_connection((host, int(port)), 10))


def hello(name: str, running: list[object], homes: list[object]) -> bytes:
    words = ["hello", 1, 0, name, "hostile", "tcp:10.99.0.99:1", True, 1, 1, [], running, homes, []]
    return frame(0, list(words))


def as_daemon(private: Path, master: str, node: str, npid: int, me: str) -> dict[str, object]:
    """What the key of bob's daemon could say for alice and for root."""
    told: dict[str, object] = {}
    to_master: dict[str, list[bytes]] = {
        "i am home": [hello("home", [], [])],
        "i run her job": [hello(me, [[npid, 0, 1, ALICE, "home", "x", 1, False, 0.0]], [])],
        "i am her home": [hello(me, [], [[npid, ALICE, "x", 1, False]])],
        "place as her": [hello(me, [], []), frame(0, ["place", 1, ALICE, "id", 1, [], [], False])],
        "place as root": [hello(me, [], []), frame(0, ["place", 1, 0, "id", 1, [], [], False])],
        "kill as her": [hello(me, [], []), frame(0, ["kill", 1, ALICE, npid, None, 9])],
        "kill as root": [hello(me, [], []), frame(0, ["kill", 1, 0, npid, None, 9])],
        "her jobs": [hello(me, [], []), frame(0, ["jobs", 1, ALICE, True])],
        "her job is over": [hello(me, [], []), frame(0, ["over", npid, "because"])],
        "her process ended": [hello(me, [], []), frame(0, ["exited", npid, 0, 0, 9])],
    }
    for what, frames in to_master.items():
        with dialled(private, master) as link:
            for data in frames:
                link.sendall(data)
            told[what] = [row for row in heard(link) if row[1] not in ("welcome", "trust", "users")]
    marker = "/tmp/forged"
    bob = 60002
    for what, home, owner, argv in (
        ("start as her", me, [ALICE, ALICE, []], ["touch", marker]),
        ("start as root", me, [0, 0, []], ["touch", marker]),
        ("start with root's groups", me, [bob, 0, [0, 4]], ["id"]),
        ("start with her number", me, [bob, bob, []], ["touch", marker]),
        ("start for home", "home", [ALICE, ALICE, []], ["touch", marker]),
    ):
        with dialled(private, node) as link:
            link.sendall(frame(0, ["hello", 1, 0, me, "hostile"]))
            number = npid if what == "start with her number" else 77
            start = ["start", number, 1, [0], home, owner, spec(*argv)]
            link.sendall(frame(1, start))
            told[what] = heard(link, 8.0)
    return told


def shown(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) else repr(value)


if __name__ == "__main__":
    if sys.argv[1] == "client":
        result = as_client(sys.argv[2], int(sys.argv[3]))
    else:
        folder, master_at, node_at, number, own = sys.argv[2:]
        result = as_daemon(Path(folder), master_at, node_at, int(number), own)
    print(json.dumps(result, default=shown))
