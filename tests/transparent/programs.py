"""Small programs about terminals and reads; each prints what it finds, the same at both levels.

`{name}.py` in the terminal's folder; they use `os` calls only, so that no library reads ahead.
"""

from __future__ import annotations

from pathlib import Path

_HEAD = """
import array, errno, fcntl, os, select, signal, sys, termios, time, tty
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def mode(fd=0, icanon=None, echo=None, vmin=None, vtime=None, when=termios.TCSANOW):
    m = termios.tcgetattr(fd)
    for flag, on in ((termios.ICANON, icanon), (termios.ECHO, echo)):
        if on is not None:
            m[3] = m[3] | flag if on else m[3] & ~flag
    if vmin is not None: m[6][termios.VMIN] = vmin
    if vtime is not None: m[6][termios.VTIME] = vtime
    termios.tcsetattr(fd, when, m)
def there(fd=0):
    found = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, found)
    return found[0]
def ready(fd=0, seconds=0.0):
    return bool(select.select([fd], [], [], seconds)[0])
def result(call, *words):
    try:
        return call(*words)
    except OSError as error:
        return errno.errorcode[error.errno]
"""

PROGRAMS = {
    "canonical": """
say("ready")
say(os.read(0, 3), os.read(0, 100), os.read(0, 100), os.read(0, 1))
""",
    "raw": """
mode(icanon=False, echo=False)
say("ready")
for _ in range(5): say(os.read(0, 1))
mode(icanon=True, echo=True)
say("done")
""",
    "vmin3": """
mode(icanon=False, echo=False, vmin=3, vtime=0)
say("ready")
say(os.read(0, 10))
say("again")
say(os.read(0, 10))
mode(icanon=True, echo=True, vmin=1)
""",
    "vmin0": """
mode(icanon=False, echo=False, vmin=0, vtime=0)
say(os.read(0, 10))
say("ready")
while not ready(): pass
say(os.read(0, 10), os.read(0, 10))
mode(icanon=True, echo=True, vmin=1)
""",
    "vtime": """
mode(icanon=False, echo=False, vmin=0, vtime=3)
start = time.monotonic(); data = os.read(0, 10); spent = time.monotonic() - start
say(data, 0.25 < spent < 1.5)
mode(icanon=False, echo=False, vmin=0, vtime=100)
say("ready")
start = time.monotonic(); data = os.read(0, 10); spent = time.monotonic() - start
say(data, spent < 8)
mode(icanon=True, echo=True, vmin=1, vtime=0)
""",
    "between": """
mode(icanon=False, echo=False, vmin=5, vtime=5)
say("ready")
start = time.monotonic(); data = os.read(0, 10); spent = time.monotonic() - start
say(data)
say("more")
data = os.read(0, 10)
say(data)
mode(icanon=True, echo=True, vmin=1, vtime=0)
""",
    "nonblock": """
own = os.open("/dev/tty", os.O_RDWR | os.O_NONBLOCK)
say(result(os.read, own, 10))
say("ready")
ready(own, 9)
say(result(os.read, own, 4), result(os.read, own, 10), result(os.read, own, 10))
""",
    "readiness": """
poll = select.poll(); poll.register(0, select.POLLIN)
epoll = select.epoll(); epoll.register(0, select.EPOLLIN)
edge = select.epoll(); edge.register(0, select.EPOLLIN | select.EPOLLET)
def look(): return ready(), len(poll.poll(0)), len(epoll.poll(0)), there()
say(look(), len(edge.poll(0)))
say("ready")
say(len(epoll.poll(9)))
say(look(), len(edge.poll(0)), len(edge.poll(0)))
say(os.read(0, 2), look())
say(os.read(0, 99), look())
say("again")
say(len(poll.poll(9000)), len(edge.poll(1)))
say(os.read(0, 99), look())
say("eof")
say(len(poll.poll(9000)), look())
say(os.read(0, 99), look())
""",
    "flush": """
say("ready")
while not ready(): time.sleep(0.01)
termios.tcflush(0, termios.TCIFLUSH)
say(ready(), there())
termios.tcdrain(1); termios.tcflow(1, termios.TCOOFF); termios.tcflow(1, termios.TCOON)
say("flushed")
say(os.read(0, 99))
""",
    "modechange": """
say("ready")
while True:
    mode(icanon=False); n = there(); mode(icanon=True)
    if n >= 3: break
mode(icanon=False, vmin=1, vtime=0)
say(ready(), there())
say(os.read(0, 2))
termios.tcflush(0, termios.TCIFLUSH)
mode(icanon=True)
say(ready(), there())
""",
    "descriptors": """
copy = os.dup(0)
own = os.open("/dev/tty", os.O_RDWR)
name = os.open(os.ttyname(0), os.O_RDWR | os.O_NOCTTY)
say(os.isatty(own), os.ttyname(0) == os.ttyname(1) == os.ttyname(2))
say("ready")
say(os.read(copy, 2), os.read(own, 2), os.read(name, 2), os.read(2, 2), os.read(1, 2))
if os.fork() == 0:
    say(os.read(copy, 2)); os._exit(0)
os.wait()
say(os.readv(0, [a := bytearray(2), b := bytearray(50)]), a, bytes(b).rstrip(b"\\0"))
say(result(os.pread, 0, 1, 0), result(os.lseek, 0, 0, 0), result(os.write, 0, b"to 0\\n"))
""",
    "splice": """
reads, writes = os.pipe()
say("ready")
ready(0, 9)
count = result(os.splice, 0, writes, 5)
if count == "EINVAL":  # before Linux 6.5
    count = os.write(writes, os.read(0, 5))
say(count, os.read(reads, 9), os.read(0, 99), result(os.splice, 0, writes, 5, 1))
""",
    "alarm": """
def ring(*_): say("rings")
signal.signal(signal.SIGALRM, ring); signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.013)
say("ready")
data = b""
while not data.endswith(b"end\\n"):
    data += os.read(0, 7)
signal.setitimer(signal.ITIMER_REAL, 0)
say(len(data), data)
""",
    "background_read": """
signal.signal(signal.SIGTTIN, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgid(0, 0)
    say(result(os.read, 0, 1))
    os._exit(0)
os.wait()
say(os.tcgetpgrp(0) == os.getpgrp())
""",
}  # fmt: skip


def write(folder: Path, name: str) -> str:
    """Put a program into `folder`; returns its file name."""
    (folder / f"{name}.py").write_text(_HEAD + PROGRAMS[name])
    return f"{name}.py"
