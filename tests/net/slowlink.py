"""A slow, lossy cable for kernels without netem: frames relayed between two interfaces.

A thread in the lab's switch namespace reads frames with AF_PACKET, loses some by a seeded generator
(the same in every run) and sends the rest on after the delay. packet(7).
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import heapq
import os
import random
import selectors
import socket
import struct
import threading
import time

_ETH_P_ALL = 3
_SIOCETHTOOL = 0x8946
_CLONE_NEWNET = 0x40000000
_OFFLOADS = (0x17, 0x1F, 0x25, 0x2C, 0x19)
"""ETHTOOL_STXCSUM, STSO, SGSO... (linux/ethtool.h): frames are to be what a cable would carry."""
_PACKET_IGNORE_OUTGOING = 23
_SOL_PACKET = 263


def _in_namespace(pid: int, work: object) -> None:
    """Call `work()` in a thread that is in the network namespace of `pid`."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(fd, _CLONE_NEWNET):  # this thread only: setns(2)
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(fd)
            work()  # type: ignore[operator]
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def plain_frames(pid: int, port: str) -> None:
    """No checksums left to hardware, no frames larger than the MTU."""

    def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for command in _OFFLOADS:
                value = array.array("B", struct.pack("II", command, 0))
                address, _ = value.buffer_info()
                request = struct.pack("16sP", port.encode(), address)
                try:
                    fcntl.ioctl(sock, _SIOCETHTOOL, request + b"\0" * 16)
                except OSError as error:
                    if error.errno != 95:  # EOPNOTSUPP: a kernel that has no such offload
                        raise

    _in_namespace(pid, work)


class Relay:
    """Carries frames between two ports until it is left."""

    def __init__(self, pid: int, one: str, two: str, delay: float, loss: float) -> None:
        self._delay = delay
        self._loss = loss
        self._sockets: list[socket.socket] = []
        self._random = random.Random(1997)
        self._wake, self._stop = os.pipe()
        self.carried = self.lost = 0
        self._thread = threading.Thread(target=self._serve)

        def open_both() -> None:
            for port in (one, two):
                sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
                self._sockets.append(sock)
                sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
                sock.bind((port, _ETH_P_ALL))
                sock.setblocking(False)

        _in_namespace(pid, open_both)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._stop)
        self._thread.join(10)
        os.close(self._wake)
        for sock in self._sockets:
            sock.close()

    def _serve(self) -> None:
        one, two = self._sockets
        waiting: list[tuple[float, int, socket.socket, bytes]] = []
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ, None)
            selector.register(one, selectors.EVENT_READ, two)
            selector.register(two, selectors.EVENT_READ, one)
            while True:
                left = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
                for key, _ in selector.select(left):
                    if key.data is None:
                        return
                    self._take(key.fileobj, key.data, waiting)  # type: ignore[arg-type]
                while waiting and waiting[0][0] <= time.monotonic():
                    _, _, target, frame = heapq.heappop(waiting)
                    try:
                        target.send(frame)
                    except OSError:
                        self.lost += 1  # a full queue or a port that is down, as on a cable

    def _take(
        self,
        source: socket.socket,
        target: socket.socket,
        waiting: list[tuple[float, int, socket.socket, bytes]],
    ) -> None:
        for _ in range(256):
            try:
                frame = source.recv(65536)
            except OSError:
                return
            if self._random.random() < self._loss:
                self.lost += 1
                continue
            self.carried += 1
            heapq.heappush(waiting, (time.monotonic() + self._delay, self.carried, target, frame))
