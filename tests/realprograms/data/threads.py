"""Exercises threading with what threads meet: locks, signals, sockets, files, subprocesses."""

import concurrent.futures
import os
import queue
import selectors
import signal
import socket
import subprocess
import tempfile
import threading


def locks():
    total, lock = 0, threading.Lock()

    def add():
        nonlocal total
        for _ in range(20_000):
            with lock:
                total += 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("locked", total)
    slots, inside, most = threading.Semaphore(2), 0, 0
    condition = threading.Condition()

    def enter():
        nonlocal inside, most
        with slots:
            with condition:
                inside += 1
                most = max(most, inside)
                condition.notify_all()
                condition.wait_for(lambda: most == 2, timeout=10)
            with condition:
                inside -= 1

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: enter(), range(12)))
    print("at most", most)


def pipeline():
    first, second, done = queue.Queue(3), queue.Queue(3), []

    def double():
        while (item := first.get()) is not None:
            second.put(item * 2)
        second.put(None)

    def gather():
        while (item := second.get()) is not None:
            done.append(item)

    threads = [threading.Thread(target=double), threading.Thread(target=gather)]
    for thread in threads:
        thread.start()
    for n in range(500):
        first.put(n)
    first.put(None)
    for thread in threads:
        thread.join()
    print("in order", done == [2 * n for n in range(500)])


def echo_server():
    listener = socket.create_server(("127.0.0.1", 0))
    clients = 5

    def serve():
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            ended = 0
            while ended < clients:
                for key, _ in selector.select(10):
                    if key.fileobj is listener:
                        connection, _ = listener.accept()
                        selector.register(connection, selectors.EVENT_READ)
                    elif data := key.fileobj.recv(65536):
                        key.fileobj.sendall(data)
                    else:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
                        ended += 1

    def ask(n):
        message = bytes([n]) * 10_000
        with socket.create_connection(listener.getsockname()) as connection:
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
            back = b"".join(iter(lambda: connection.recv(4096), b""))
        return back == message

    server = threading.Thread(target=serve)
    server.start()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        print("echoed", list(pool.map(ask, range(clients))))
    server.join()
    listener.close()


def children():
    def child(n):
        script = f"read line; echo $line {n}; exit {n}"
        done = subprocess.run(["sh", "-c", script], input=b"in\n", capture_output=True, check=False)
        return done.stdout.decode().strip(), done.returncode

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        print("children", list(pool.map(child, range(10))))


def signals():
    seen, told = [], threading.Event()

    def handler(number, frame):
        seen.append((signal.Signals(number).name, threading.current_thread().name))
        told.set()

    signal.signal(signal.SIGUSR1, handler)
    sender = threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGUSR1))
    sender.start()
    sender.join()
    print("told", told.wait(10), seen)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)
    print("waited for", signal.sigwait([signal.SIGUSR2]).name)


def files():
    with tempfile.TemporaryDirectory(dir=".") as folder:

        def write(n):
            path = os.path.join(folder, str(n))
            with open(path, "wb") as file:
                for part in range(100):
                    file.write(bytes([(n + part) % 256]) * 100)
            return os.path.getsize(path)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            print("written", sum(pool.map(write, range(40))))
        print("files", len(os.listdir(folder)))


if __name__ == "__main__":
    for part in (locks, pipeline, echo_server, children, signals, files):
        part()
    print("threads left", threading.active_count())
