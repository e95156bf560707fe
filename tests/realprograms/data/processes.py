"""Exercises multiprocessing: pools, queues, pipes, locks, shared memory, managers, bad ends."""

import multiprocessing as mp
import os
import signal
import sys
from multiprocessing import shared_memory


def square(n):
    return n * n


def fail(n):
    raise ValueError(f"no {n}")


def count(counter, lock, turns):
    for _ in range(turns):
        with lock:
            counter.value += 1


def echo(pipe):
    while (item := pipe.recv()) is not None:
        pipe.send((type(item).__name__, item))
    pipe.close()


def produce(queue, start):
    for n in range(start, start + 50):
        queue.put(n)
    queue.put(None)


def fill(name, start):
    memory = shared_memory.SharedMemory(name)
    for n in range(1000):
        memory.buf[start + n] = (start + n) % 251
    memory.close()


def end_badly(how):
    if how == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(7)


def pools(context):
    with context.Pool(3) as pool:
        print("squares", sum(pool.map(square, range(1000), chunksize=17)))
        print("unordered", sorted(pool.imap_unordered(square, range(10))))
        try:
            pool.apply(fail, (3,))
        except ValueError as error:
            print("raised", error)


def pipes(context):
    counter, lock = context.Value("i", 0, lock=False), context.Lock()
    workers = [context.Process(target=count, args=(counter, lock, 500)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("counted", counter.value, [worker.exitcode for worker in workers])
    ours, theirs = context.Pipe()
    echoer = context.Process(target=echo, args=(theirs,))
    echoer.start()
    for item in (1, "text", b"x" * 100_000, [1, [2, (3,)]]):
        ours.send(item)
        kind, back = ours.recv()
        print("echoed", kind, back == item)
    ours.send(None)
    echoer.join()


def queues(context):
    queue = context.Queue()
    producers = [context.Process(target=produce, args=(queue, s)) for s in (0, 1000, 2000)]
    for producer in producers:
        producer.start()
    ended, total = 0, 0
    while ended < 3:
        item = queue.get(timeout=30)
        ended, total = (ended + 1, total) if item is None else (ended, total + item)
    for producer in producers:
        producer.join()
    print("consumed", total)


def ends(context):
    for how in ("exit", "signal"):
        bad = context.Process(target=end_badly, args=(how,))
        bad.start()
        bad.join()
        print("ended by", how, bad.exitcode)


def main():
    fork, spawn = mp.get_context("fork"), mp.get_context("spawn")
    pools(fork)
    pipes(fork)
    pipes(spawn)
    queues(fork)
    ends(fork)
    memory = shared_memory.SharedMemory(create=True, size=4000)
    writers = [mp.Process(target=fill, args=(memory.name, s)) for s in range(0, 4000, 1000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    print("shared", all(memory.buf[n] == n % 251 for n in range(4000)))
    memory.close()
    memory.unlink()
    with mp.Manager() as manager:
        shared = manager.dict()
        writers = [mp.Process(target=shared.__setitem__, args=(n, n * n)) for n in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        print("managed", sorted(shared.items()))


if __name__ == "__main__":
    main()
