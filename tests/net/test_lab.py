"""The tools on a cluster of machines: what users and owners do, over TCP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
from pathlib import Path

from e2e.cluster import descendants, ended, processes, until

from .lab import Lab


def test_jobs_run_on_nodes(shared_lab: Lab) -> None:
    home = shared_lab.home
    assert home.good("glurun", "hostname") in {"node1", "node2", "node3"}
    assert home.good("glurun", "-w", "node2", "hostname") == "node2"
    assert sorted(home.good("glurun", "-n", "3", "hostname").split()) == ["node1", "node2", "node3"]
    assert home.glurun("sh", "-c", "echo out; echo err >&2; exit 7").status == 7


def test_transparent_jobs_see_home(shared_lab: Lab) -> None:
    home = shared_lab.home
    assert home.good("glurun", "-T", "hostname") == "home"
    both = home.good("glurun", "-T", "-w", "node1", "sh", "-c", "hostname; echo $GLUNIX_NODE")
    assert both.split() == ["home", "node1"]
    line = "printf 'a\\nb\\n' | { glurun -T sh -c 'read x; echo got $x'; cat; }"
    assert home.good("bash", "-c", line) == "got a\nb"


def test_much_output_and_input(shared_lab: Lab) -> None:
    data = os.urandom(8 << 20)
    result = shared_lab.home.run("glurun", "cat", stdin=data, timeout=60)
    assert (result.status, result.out == data) == (0, True)


def test_every_node_is_a_home_of_its_users(shared_lab: Lab) -> None:
    node = shared_lab.node(1)
    assert node.good("glurun", "-w", "node2", "hostname") == "node2"
    assert node.good("glurun", "-T", "-w", "node2", "hostname") == "node1"
    nested = shared_lab.home.good("glurun", "-w", "node1", "glurun", "-w", "node3", "hostname")
    assert nested == "node3"


def test_tools_say_who_is_there(shared_lab: Lab) -> None:
    home = shared_lab.home
    states = home.states()
    assert states == {"home": "up", "node1": "up", "node2": "up", "node3": "up"}
    rows = {row["name"]: row for row in json.loads(home.good("glunix", "members", "--json"))}
    assert set(rows) == set(states) and all(row["connected"] for row in rows.values())
    assert "node2" in home.good("glunix", "members")
    assert home.good("glunix", "status").startswith("cluster in")
    assert "already up" in home.good("glunix", "up")


def test_owners_questions_go_to_the_masters_machine(shared_lab: Lab) -> None:
    for words in (["invite"], ["revoke", "node2"], ["members"]):
        result = shared_lab.node(1).run("glunix", *words)
        assert result.status == 1 and "ask on the master's machine" in result.complaint
    nobody = shared_lab.home.run("glunix", "invite", uid=65534)
    assert nobody.status == 1 and nobody.err.count(b"\n") == 1


def test_misuse_is_one_line(shared_lab: Lab) -> None:
    home, node = shared_lab.home, shared_lab.node(1)
    for where, words, text in (
        (home, ["init"], "a cluster is there"),
        (home, ["leave"], "the master is here"),
        (home, ["revoke", "nobody"], "no member is called nobody"),
        (home, ["up", "-n", "3"], "leave out -n"),
        (home, ["invite", "--name", "node1"], "node1 is a member already"),
        (home, ["invite", "--user", "no-such-user"], "no user is called"),
        (node, ["join", shared_lab.master, "x"], "leave it first"),
    ):
        result = where.run("glunix", *words)
        assert result.status == 1 and text in result.complaint, (words, result)
        assert result.err.count(b"\n") == 1
    for words in (["invite", "--expires", "5w"], ["invite", "--expires", "0"], ["join"]):
        assert home.run("glunix", *words).status == 2


def test_keys_are_private(shared_lab: Lab) -> None:
    for node in shared_lab.machines.values():
        private = node.folder / "private"
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        for path in private.iterdir():
            if path.suffix in (".key", ".crt", ".json", ".log"):
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or path.name == "cluster.json"
    assert not (shared_lab.node(1).folder / "private" / "ca.key").exists()


def test_no_secret_in_argv_or_logs(shared_lab: Lab) -> None:
    token = shared_lab.invite("--expires", "60s")
    secret = token.partition(".")[2][43:]
    for node in shared_lab.machines.values():
        for log in (node.folder / "private").glob("*.log"):
            assert "glunix1." not in log.read_text() and secret not in log.read_text()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and entry.name != str(os.getpid()):
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            assert b"glunix1." not in words


def test_a_token_as_an_argument_is_hidden(shared_lab: Lab) -> None:
    """While `join` waits for its master, ps(1) shows everything but the token."""
    token = shared_lab.invite("--expires", "60s")
    node = shared_lab.node(1)
    shared_lab.home.kill("master", signal.SIGSTOP)
    words = ["--folder", str(shared_lab.folder / "hidden"), "--name", "hidden", "--no-start", "--"]
    try:
        with ended(node.start("glunix", "join", *words, shared_lab.master, token)) as joining:

            def shown() -> bytes:
                found = b""
                for pid in descendants(joining.pid, processes()):  # below nsenter
                    with contextlib.suppress(OSError):
                        found += Path(f"/proc/{pid}/cmdline").read_bytes()
                return found

            until(lambda: b"hidden" in shown() and b"glunix1." not in shown(), "it is hidden")
            assert token[8:20].encode() not in shown() and shared_lab.master.encode() in shown()
    finally:
        shared_lab.home.kill("master", signal.SIGCONT)
    assert not list((shared_lab.folder / "hidden" / "private").glob("*.crt"))


def test_config_shows_what_is_in_force(shared_lab: Lab) -> None:
    home = shared_lab.home
    said = home.run("glunix", "config")
    assert said.status == 0 and said.out.startswith(f"# {home.folder}/glunix.toml".encode())
    assert b"requests = 2000" in said.out and b"allow_root = true" in said.out
    assert said.err == b""
    path = home.folder / "glunix.toml"
    os.utime(path)
    later = json.loads(home.good("glunix", "config", "--json"))
    assert sorted(later["restart"]) == ["home", "master"] and later["limits"]["jobs"] == 4096
    assert later["state_folder"] == str(home.folder)
    assert "started before glunix.toml was changed" in home.run("glunix", "config").complaint
    os.utime(path, (0, 0))


def test_a_token_on_standard_input_and_one_machine_a_token(shared_lab: Lab) -> None:
    token = shared_lab.invite("--name", "extra")
    node = shared_lab.node(1)
    folder = str(shared_lab.folder / "extra")
    words = ["glunix", "join", "--folder", folder, "--name", "extra", "--no-start", "--json",
             "--listen", "0.0.0.0:7200", shared_lab.master, "-"]  # fmt: skip
    answer = json.loads(node.run(*words, stdin=f"{token}\n".encode()).out)
    assert answer["node"] == "extra" and answer["started"] is False
    folder2 = str(shared_lab.folder / "extra2")
    again = node.run("glunix", "join", "--folder", folder2, "--name", "extra2",
                     shared_lab.master, token)  # fmt: skip
    assert again.status == 1 and "used, expired" in again.complaint
    assert not list(Path(folder2, "private").glob("*.crt"))
    left = node.good("glunix", "leave", "--folder", folder)
    assert left == "extra has left home"
    assert not list(Path(folder, "private").glob("*.key"))
    assert "extra" not in shared_lab.home.good("glunix", "members")
