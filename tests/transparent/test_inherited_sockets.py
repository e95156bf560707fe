"""Sockets of home above descriptor 2: a job that inherits one speaks through it as at home."""

from __future__ import annotations

import pytest

from .compare import TRANSPARENT, Both

DRIVER = """
import os, socket, subprocess, sys
def run(words, sock, code, more=()):
    file = f"p{sock.fileno()}.py"
    head = "import os, select, signal, socket, sys\\nsock = socket.socket(fileno=%d)\\n"
    head += "def told(call, *words):\\n    try: print(call(*words))\\n"
    head += "    except OSError as error: print(error.strerror)\\n"
    open(file, "w").write(head % sock.fileno() + code)
    job = subprocess.Popen([*words, file], pass_fds=[sock.fileno(), *more],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    sock.close()
    return job
def ended(job):
    print(job.communicate()[0].decode(), job.returncode)
words = sys.argv[1:]
"""

STREAM = '''
ours, theirs = socket.socketpair()
job = run(words, theirs, """
fd = sock.fileno()
print(sock.type, sock.family, sock.getsockopt(1, 3), repr(sock.getpeername()))
print(select.select([sock], [sock], [], 0)[1] == [sock])
sock.setblocking(False); told(sock.recv, 5); sock.setblocking(True)
os.write(fd, b'hello')
print(select.select([sock], [], [], 20)[0] == [sock], os.read(fd, 3))
print(sock.recv(3, socket.MSG_PEEK), sock.recv(3), sock.recvfrom(2), sock.recvmsg(9))
print(select.select([sock], [], [], 0)[0])
sock.send(b'more'); print(sock.recv_into(bytearray(4), 4))
print(sock.sendmsg([b'a', b'bc']), sock.recv(9, socket.MSG_WAITALL))
sock.sendall(bytes(500000))
if os.fork() == 0:
    print(os.read(fd, 5), flush=True); os._exit(0)
os.wait()
sock.shutdown(socket.SHUT_WR)
told(sock.send, b'x', socket.MSG_NOSIGNAL)
print(sock.recv(9), sock.recv(9), select.select([sock], [], [], 0)[0] == [sock])
told(os.lseek, fd, 0, 0); told(sock.send, b'x')
sock.setsockopt(1, 7, 20000); print(sock.getsockopt(1, 7) > 20000)
""")
print(ours.recv(9)); ours.send(b"123456789")
print(ours.recv(9)); ours.send(b"wxyz")
print(ours.recv(9)); ours.send(b"1234"); ours.send(b"56789")
got = b""
while len(got) < 500000: got += ours.recv(99999)
ours.send(b"child")
print(ours.recv(9)); ours.send(b"end"); ours.shutdown(1)
ended(job)
'''

INTERNET = '''
listener = socket.create_server(("127.0.0.1", 0))
theirs = socket.create_connection(listener.getsockname())
ours, _ = listener.accept()
job = run(words, theirs, f"""
print(sock.getpeername() == {ours.getsockname()}, sock.getsockname() == {ours.getpeername()})
print(sock.family, sock.getsockopt(6, 1))
sock.setsockopt(6, 1, 1); print(sock.getsockopt(6, 1))
sock.sendall(b'GET'); print(sock.makefile('rb').read(), sock.recvfrom(4))
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
while True: os.write(sock.fileno(), bytes(4096))
""")
print(ours.recv(3)); ours.sendall(bytes(range(65, 91))); ours.close()
ended(job)
'''

DATAGRAMS = '''
for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    job = run(words, theirs, """
print(sock.type)
sock.send(b'one'); sock.send(b'two'); sock.send(b'')
print(sock.recv(2), sock.recv(9), os.read(sock.fileno(), 2), sock.recvmsg(2)[::2], sock.recv(9))
poll = select.poll(); poll.register(sock, select.POLLIN); print(len(poll.poll(0)))
signal.signal(signal.SIGALRM, lambda *_: print('rings')); signal.setitimer(0, 0.2)
sock.send(b'late'); print(sock.recv(9), sock.recv(9))
""")
    print(ours.recv(9), ours.recv(9), ours.recv(9))
    for one in b"first", b"second", b"third", b"fourth", b"": ours.send(one)
    print(ours.recv(9))
    import time; time.sleep(0.5)
    ours.send(b"at last"); ours.send(b"!")
    ended(job)
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    ours, theirs = socket.socket(family, 2), socket.socket(family, 2)
    ours.bind((host, 0)); theirs.bind((host, 0))
    where = theirs.getsockname()
    job = run(words, theirs, f"""
print(sock.sendto(b'hello', {ours.getsockname()}))
data, who = sock.recvfrom(100); print(data, who == {ours.getsockname()})
print(sock.sendmsg([b'a', b'b'], [], 0, who))
data, _, flags, who = sock.recvmsg(4); print(data, flags & socket.MSG_TRUNC != 0)
told(sock.getpeername); told(sock.send, b'x')
sock.connect(who); print(sock.getpeername() == who, sock.send(b'x'))
""")
    data, who = ours.recvfrom(9); print(data, who == where)
    ours.sendto(b"answer", who); print(ours.recv(9)); ours.sendto(b"too long", who)
    print(ours.recv(9)); ended(job)
'''


@pytest.mark.parametrize("program", [STREAM, INTERNET, DATAGRAMS])
def test_program(both: Both, program: str) -> None:
    line = f"cat >driver.py <<'E'\n{DRIVER}{program}E\n$PYTHON driver.py $G $PYTHON"
    native = both.same(line)
    assert not native.err, native.err.decode()


def test_shell(both: Both) -> None:
    server = (
        "import socket; s = socket.create_server(('127.0.0.1', 0));"
        " open('port', 'w').write(str(s.getsockname()[1])); c, _ = s.accept();"
        " f = c.makefile('rwb'); f.write(b'you said ' + f.readline()); f.write(b'bye');"
        " f.close(); c.close()"
    )
    both.same(
        f'$PYTHON -c "{server}" & until [ -s port ]; do sleep 0.01; done;'
        " exec 3<>/dev/tcp/127.0.0.1/$(cat port);"
        " $G sh -c 'echo hi >&3; read a <&3; echo $a'; cat <&3"
    )


@pytest.mark.parametrize("engine", ["ptrace-seccomp", "ptrace"])
def test_other_engines(both: Both, engine: str) -> None:
    line = f"cat >driver.py <<'E'\n{DRIVER}{STREAM}E\n$PYTHON driver.py $G $PYTHON"
    native, ours = both.run(line, ""), both.run(line, f"{TRANSPARENT} --engine={engine}")
    assert ours == native
