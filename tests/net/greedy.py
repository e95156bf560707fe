"""Run as an ordinary user: what he writes who wants a daemon for himself. Prints JSON at the end.

greedy.py ask SOCKET SECONDS      requests as fast as they go, on many connections
greedy.py hoard SOCKET            output of many jobs, none of it read
greedy.py honest COUNT            so many quick jobs by way of the library (GLUNIX_DIR)
"""

import json
import socket
import sys
import time

import msgpack


def frame(message: list[object]) -> bytes:
    return msgpack.packb((0, msgpack.packb(message)))


def ask(path: str, seconds: float) -> dict[str, object]:
    """Tables of jobs and nodes, 200 at a time: what was answered, refused, and closed on us."""
    data = b"".join(frame(["nodes" if n % 2 else "jobs", n, *([] if n % 2 else [True])])
                    for n in range(1, 201))  # fmt: skip
    told = {"connections": 0, "answers": 0, "refusals": 0, "words": ""}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(2.0)
            heard = b""
            try:
                link.connect(path)
                told["connections"] += 1
                link.sendall(data)
                link.shutdown(socket.SHUT_WR)
                while piece := link.recv(1 << 20):
                    heard += piece
            except OSError:
                pass
            told["answers"] += heard.count(b"list")
            told["refusals"] += heard.count(b"asks too often")
            at = heard.find(b"uid ")
            told["words"] = (
                heard[at : at + 90].decode(errors="replace") if at >= 0 else told["words"]
            )
    return told


def hoard(path: str) -> dict[str, object]:
    """20 jobs that write without end, each with the largest window; nothing is read."""
    spec = [[b"yes"], {b"PATH": b"/usr/bin:/bin"}, b"/", 0o22, 0, [], None, [], False, False, "",
            "", "pipe", 0, False, 16 * 1024 * 1024]  # fmt: skip
    links = []
    for _ in range(20):
        link = socket.socket(socket.AF_UNIX)
        link.connect(path)
        link.sendall(frame(["submit", 1, spec, 1, ["node1"], []]))
        links.append(link)
    print("hoarding", flush=True)
    sys.stdin.read()
    cut = 0
    for link in links:
        link.setblocking(False)
        try:
            while link.recv(1 << 20):
                pass
            cut += 1
        except BlockingIOError:
            pass  # there may be more: this one was spared
        except OSError:
            cut += 1
    return {"cut": cut}


def honest(count: int) -> dict[str, object]:
    """The library's own way, all at once: how many ended well, and what was said to the others."""
    from glunix.api import Client, job_spec

    with Client() as cluster:
        spec = job_spec(["true"])
        began = time.monotonic()
        jobs = [cluster.submit(spec, collect=False) for _ in range(count)]
        cluster.wait(120)
        good = sum(job.status == 0 and job.error is None for job in jobs)
        errors = sorted({str(job.error) for job in jobs if job.error is not None})
    return {"good": good, "errors": errors, "rate": count / (time.monotonic() - began)}


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "ask":
        print(json.dumps(ask(words[0], float(words[1]))))
    elif what == "hoard":
        print(json.dumps(hoard(words[0])))
    else:
        print(json.dumps(honest(int(words[0]))))
