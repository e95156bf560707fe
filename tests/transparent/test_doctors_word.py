"""`glunix doctor` says how far a cluster works that is started inside a user namespace: by use.

Its rows are compared with what a cluster that is started there does.
"""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest
from e2e.cluster import Cluster

from .situations import (
    IN_CONTAINER,
    OWN_IN_NAMESPACE,
    OWN_UNMAPPED,
    Situation,
    environment,
    users_home,
)

SECONDS = 120

SESSION = """
glunix doctor --json >doctor 2>/dev/null
{prepare}
say() {{ printf '%s=%s\\n' "$1" "$(tail -n 1 answer)"; }}
glurun hostname >answer; say node
glurun -T hostname >answer; say home
glurun -T sh -c 'echo $PPID' >answer; say parent
echo $$ >answer; say shell
stat -c %g $(tty) >answer; say native_group
glurun -T sh -c 'stat -c %g $(tty)' >answer; say group
glurun -T sh -c 'setsid sh -c "echo \\$\\$ >number; exec sleep 84.7"; :' &
until [ -s number ]; do sleep 0.05; done
ps -o sid= -p $(cat number) | tr -d ' ' >answer; say session
cp number answer; say leader
kill $(cat number); wait
AS='setpriv --reuid=3005 --regid=3005 --groups=3005,3006 --'
chmod 755 $HOME
$AS glurun -T id -u 2>&1 | cat >answer; say other
$AS glurun -T id -G 2>&1 | cat >answer; say groups
(ulimit -Sc 0; ulimit -Hc 0; ulimit -Hc 1 2>/dev/null; ulimit -Hc >answer); say limit
{finish}
"""


def _said(
    cluster: Cluster, users_tools: Path, situation: Situation
) -> tuple[dict[str, object], dict[str, str]]:
    """What doctor says, and what is so."""
    with users_home(situation, users_tools) as (home, tools):
        session = SESSION.format(prepare=situation.prepared(2), finish=situation.finish)
        (home / "session").write_text(session)
        result = subprocess.run(
            situation.at_a_terminal("bash", "--norc", "--noprofile", "session"),
            env=environment(cluster, home, tools),
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert (home / "doctor").exists(), result
        answer = json.loads((home / "doctor").read_text())
    found = [line.partition("=") for line in result.stdout.replace("\r", "").split("\n")]
    return answer, {name: value for name, _, value in found}


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        # namespaces of nodes, jobs of other users, groups of jobs, group of terminals
        (OWN_UNMAPPED, "----"),
        (OWN_IN_NAMESPACE, "+---"),
        (IN_CONTAINER, "++++"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_rows_are_true(
    shared: Cluster, users_tools: Path, situation: Situation, expected: str
) -> None:
    answer, found = _said(shared, users_tools, situation)
    rows = answer["features"]
    assert isinstance(rows, list)
    works = {row["feature"]: row["state"] == "works" for row in rows}
    names = (
        "namespaces of nodes",
        "jobs of other users",
        "groups of jobs",
        "group of terminals",
    )
    assert "".join("-+"[works[name]] for name in names) == expected, answer
    assert str(answer["user_namespace"]).startswith("uids "), answer
    home = socket.gethostname()
    assert found["home"] == home, found
    assert (found["node"] != home) == works["namespaces of nodes"], found
    pids = works["PID namespaces"] and works["ns_last_pid"]
    assert (found["parent"] == found["shell"]) == pids, found
    assert (found["group"] == found["native_group"]) == (
        works["group of terminals"] or found["native_group"] == "65534" == found["group"]
    ), found
    if pids:
        assert (found["session"] == found["leader"]) == works["sessions of shadows"], found
    assert (found["other"] == "3005") == works["jobs of other users"], found
    assert (found["groups"] == "3005 3006") == works["groups of jobs"], found
    assert (found["limit"] == "1") == works["CAP_SYS_RESOURCE"], found


def test_outside_nothing_of_it_is_asked(shared: Cluster) -> None:
    answer = json.loads(shared.run("glunix", "doctor", "--json", timeout=60).out)
    if answer["user_namespace"] is not None:
        pytest.skip("these tests are inside a user namespace themselves")
    assert "jobs of other users" not in {row["feature"] for row in answer["features"]}
