"""Units for systemd, and the words that services say to it."""

import configparser
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from glunix.cli import services, units
from glunix.comm import logline
from glunix.settings import ClusterSection, DaemonSection, MasterSection, Settings

CONF = Settings(ClusterSection("c", "m:1"), DaemonSection("home"), MasterSection(),
                state="/run/glunix")  # fmt: skip


def parsed(text: str) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(text)
    return found


def test_the_masters_machine_has_both(tmp_path: Path) -> None:
    found = units.units(tmp_path, CONF, ["/bin/glunix"], True)
    assert sorted(found) == ["glunix-daemon.service", "glunix-master.service"]
    for name, text in found.items():
        unit = parsed(text)
        what = name.removeprefix("glunix-").removesuffix(".service")
        assert unit["Service"]["ExecStart"] == f"/bin/glunix {what} --folder {tmp_path}"
        assert unit["Service"]["Type"] == "notify"
        assert unit["Service"]["RuntimeDirectory"] == "glunix"
        assert unit["Install"]["WantedBy"] == "multi-user.target"
    assert "glunix-master.service" in parsed(found["glunix-daemon.service"])["Unit"]["After"]


def test_a_node_has_a_daemon_only(tmp_path: Path) -> None:
    conf = Settings(CONF.cluster, DaemonSection("node1"))
    (text,) = units.units(tmp_path, conf, ["/bin/glunix"], False).values()
    assert "RuntimeDirectory" not in text and "default.target" in text


def test_odd_paths_are_quoted() -> None:
    assert units._quoted(["/a b/glunix", "x%y$z", 'q"']) == '"/a b/glunix" "x%%y$$z" "q\\""'


def test_systemd_takes_them(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for name, text in units.units(tmp_path, CONF, ["/bin/true"], True).items():
        (tmp_path / name).write_text(text)
    words = ["systemd-analyze", "verify", *map(str, tmp_path.glob("*.service"))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "glunix-" in line]
    assert not [line for line in ours if "Unknown" in line or "invalid" in line.lower()], ours


@pytest.mark.parametrize("abstract", [False, True])
def test_notify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"@glunix-test-{os.getpid()}" if abstract else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name[1:] if abstract else name)
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        ready = services.Notify("master")
        ready()
        ready()
        assert sock.recv(100).startswith(b"READY=1\n")
        services.notify("STOPPING=1")
        assert sock.recv(100) == b"STOPPING=1"  # and READY only once


def test_the_journal_has_times_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    logline.say("text")
    out = capfd.readouterr().out
    assert out.endswith(" text\n") and out[2] == ":"
    found = os.fstat(1)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    logline.say("text")
    assert capfd.readouterr().out == "text\n"


def test_a_master_as_a_service(tmp_path: Path) -> None:
    """In the foreground: says READY, and ends in order by SIGTERM with status 0."""
    main = "import sys; from glunix.cli.main import main; sys.exit(main())"
    tool = [sys.executable, "-c", main]
    folder = str(tmp_path / "c")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = subprocess.run([*tool, "init", "--listen", f"127.0.0.1:{port}", "--folder", folder],
                          capture_output=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "n"))
        sock.settimeout(30)
        env = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "n")}
        with subprocess.Popen([*tool, "master", "--folder", folder], env=env,
                              stdout=subprocess.PIPE) as master:  # fmt: skip
            try:
                assert sock.recv(100).startswith(b"READY=1")
                master.send_signal(signal.SIGTERM)
                assert sock.recv(100) == b"STOPPING=1"
                assert master.wait(20) == 0
            finally:
                master.kill()
    words = [*tool, "install-units", "--folder", folder, "--dir", str(tmp_path / "units")]
    done = subprocess.run(words, capture_output=True, timeout=60, text=True)
    assert done.returncode == 0 and "systemctl" in done.stdout, done
    assert len(list((tmp_path / "units").iterdir())) == 2
