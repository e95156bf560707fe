"""Home's half and its shadow: stops and signals that come at once, in whatever order."""

import os
import select
import signal
import subprocess
import sys
import textwrap

import pytest

PREAMBLE = """
    import os, posix, select, signal, sys, time
    from pathlib import Path
    from glunix.home.processes import lifecycle
    from glunix.home.processes.root_shadow import split_startup

    half = split_startup()
    half.catch()
    performers = half.performers()

    def happens(name, *fields):
        effects = half.life.handle((name, *fields), time.monotonic())
        for effect, *given in effects:
            performers.get(effect, lambda *given: None)(*given)
        half.life.check()
        return {effect for effect, *_ in effects}

    def stop(number):
        happens(lifecycle.STOPS, number)
        assert happens(lifecycle.WRITTEN, half.is_halted()) == {lifecycle.STOP_SHADOW}

    def free():
        assert lifecycle.WAKE_SHADOW in happens(lifecycle.CONTINUES)

    def looked(come):
        half.take_answers()
        return happens(lifecycle.LOOKED, half.is_halted(), come)

    def goes_on(come, by_home):
        found = looked(come)
        assert not by_home or lifecycle.JOB_GOES_ON in found or not found
        return lifecycle.ASK_SHADOW in found

    def end():
        happens(lifecycle.EXITS)
        assert lifecycle.GO_ALONE in happens(lifecycle.PARTED, 0, 0)

    happens(lifecycle.PLACED, True)
    shadow = os.getppid()
    signals = select.poll()
    signals.register(half.signals.fileno(), select.POLLIN)

    def state():
        return Path(f"/proc/{shadow}/stat").read_text().rpartition(")")[2].split()[0]

    def until(holds):
        end = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < end
            time.sleep(0)
"""


def run(text: str) -> None:
    """In home's half; the shadow ends as it does."""
    command = [sys.executable, "-c", textwrap.dedent(PREAMBLE) + textwrap.dedent(text)]
    # In a group that is not orphaned, or nothing stops it (setpgid(2)).
    with subprocess.Popen(command, process_group=0, stderr=subprocess.PIPE) as process:
        try:
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0, errors.decode()


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGTTIN])
def test_what_comes_with_the_end_of_a_stop_is_heard_after_it(number: signal.Signals) -> None:
    """SIGTTIN takes back the SIGCONT that nobody has seen yet: the shadow has gone on all the same.
    Or it is stopped anew, where it is the signal that had stopped it.
    """
    run(f"""
        for _ in range(300):
            stop({int(number)})
            until(lambda: state() == "T")
            os.kill(shadow, signal.SIGCONT)
            os.kill(shadow, signal.SIGTTIN)
            until(lambda: signals.poll(0) or state() == "T")
            if signals.poll(0):
                come = half.signals.read()
                assert goes_on(come, by_home=True), come
                come += half.settled()
                assert come in ([signal.SIGTTIN], [signal.SIGCONT, signal.SIGTTIN]), come
            else:
                os.kill(shadow, signal.SIGCONT)
                until(lambda: goes_on([], by_home=True))
                assert half.settled() == [signal.SIGCONT]
        end()
    """)


def test_it_is_freed_before_it_has_stopped() -> None:
    run("""
        for number in (signal.SIGTSTP, signal.SIGSTOP) * 50:
            stop(number)
            free()
            assert goes_on([], by_home=False) and half.life.state == "running"
            assert set(half.settled()) <= {signal.SIGCONT}
            assert state() != "T"
        end()
    """)


def test_it_is_freed_long_before_it_has_stopped() -> None:
    """On a machine that runs it later than we wait."""
    run("""
        import glunix.home.processes.root_shadow
        glunix.home.processes.root_shadow._TRIES = ()
        for _ in range(20):
            stop(signal.SIGTSTP)
            free()
            assert half.life.state == "resuming"
            until(lambda: goes_on([], by_home=False))
            assert half.life.state == "running" and state() != "T"
            half.settled()
        end()
    """)


def test_it_ends_before_it_has_stopped() -> None:
    for number in (signal.SIGTSTP, signal.SIGSTOP) * 3:
        run(f"""
            stop({int(number)})
            end()
        """)


def test_it_is_killed_while_it_has_words_to_hear() -> None:
    """The kernel says ECONNRESET first, then that there is nobody (unix(7))."""
    read, write = os.pipe()
    text = f"""
        os.kill(shadow, signal.SIGSTOP)
        until(lambda: state() == "T")
        half.name(b"name", b"words")
        os.kill(shadow, signal.SIGKILL)
        until(lambda: os.getppid() != shadow)
        assert half.is_gone()
        os.write({write}, b"+")
    """
    command = [sys.executable, "-c", textwrap.dedent(PREAMBLE) + textwrap.dedent(text)]
    with subprocess.Popen(command, process_group=0, pass_fds=[write]) as process:
        os.close(write)
        assert process.wait(10) == -signal.SIGKILL
    assert select.select([read], [], [], 10)[0]
    assert os.read(read, 1) == b"+"
    os.close(read)
