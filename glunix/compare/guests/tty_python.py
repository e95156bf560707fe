# guest: Python's view of the terminal: sizes, getpass, tty modes, input()
# area: tty
# source: os.get_terminal_size, getpass, termios, tty modules
# calls: ioctl, read, openat
# needs: tty
# on: name -> type "Grace\n"
# on: Password -> type "secret\n"
# on: key -> type "q"
# broken-by: ioctl:error=ENOTTY
import getpass
import os
import sys
import termios
import tty


def check(what, want, got):
    if want != got:
        print(f"{what}: expected {want!r}, got {got!r}")
        sys.exit(1)
    print(f"{what} is {got!r}", flush=True)


check("terminals", [True] * 3, [f.isatty() for f in (sys.stdin, sys.stdout, sys.stderr)])
check("size", (80, 24), tuple(os.get_terminal_size()))
check("one name", 1, len({os.ttyname(fd) for fd in range(3)}))
print("ready name")
check("input", "Grace", input())
check("getpass", "secret", getpass.getpass("ready Password\n"))
saved = termios.tcgetattr(0)
tty.setcbreak(0)
print("ready key", flush=True)
check("one key", b"q", os.read(0, 10))
termios.tcsetattr(0, termios.TCSADRAIN, saved)
check("modes are back", saved, termios.tcgetattr(0))
print("ok")
