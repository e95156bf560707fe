"""The library in real processes: who a process is, and barriers over several daemons."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from .cluster import ROOT, Cluster, everybodys_python, finish, until

_SAYS = """
import json, os
from glunix.api import Process
with Process() as own:
    place = own.place
    found = [place.npid, place.vnn, place.degree, list(place.nodes)]
    os.write(1, json.dumps(found).encode() + b"\\n")
"""

_BARRIERS = """
import os, sys, time
from glunix.api import Process
folder, rounds = sys.argv[1], int(sys.argv[2])
with Process() as own:
    for turn in range(rounds):
        open(f"{folder}/{turn}.{own.place.vnn}", "w").close()
        own.barrier(60)
        there = [name for name in os.listdir(folder) if name.startswith(f"{turn}.")]
        assert len(there) == own.place.degree, (turn, there)
os.write(1, b"passed %d\\n" % rounds)
"""


@pytest.fixture(scope="module")
def python() -> str:
    return everybodys_python() or sys.executable


_LIBRARY = f"PYTHONPATH={ROOT}:{sysconfig.get_path('purelib')}"


def ran(cluster: Cluster, degree: int, *words: str, timeout: float = 60) -> list[str]:
    command = ["glurun", "-n", str(degree), "env", _LIBRARY, *words]
    result = cluster.run(*command, timeout=timeout)
    assert result.status == 0, result
    return result.text.splitlines()


def test_a_process_is_who_its_daemon_says_whatever_its_environment(
    shared: Cluster, python: str
) -> None:
    lie = ["GLUNIX_NPID=1", "GLUNIX_VNN=0", "GLUNIX_DEGREE=9"]
    lines = ran(shared, 3, *lie, python, "-c", _SAYS)
    found = sorted(json.loads(line) for line in lines)
    assert [row[1] for row in found] == [0, 1, 2]
    assert len({row[0] for row in found}) == 1
    assert found[0][0] != 1
    assert all(row[2] == 3 and len(row[3]) == 3 for row in found)


@pytest.mark.parametrize("degree", [1, 2, 7])
def test_nobody_passes_a_barrier_before_all_have_come(
    shared: Cluster, python: str, tmp_path: Path, degree: int
) -> None:
    tmp_path.chmod(0o777)
    words = [python, "-c", _BARRIERS, str(tmp_path), "20"]
    assert ran(shared, degree, *words) == ["passed 20"] * degree


def test_a_process_that_ends_releases_the_others(shared: Cluster, python: str) -> None:
    script = """
import os, sys, time
from glunix.api import Process
own = Process()
if own.place.vnn == own.place.degree - 1:
    time.sleep(0.3)
    sys.exit(0)
try:
    own.barrier(30)
except Exception as error:
    os.write(1, f"{error}\\n".encode())
"""
    begun = time.monotonic()
    lines = ran(shared, 4, python, "-c", script)
    assert len(lines) == 3
    assert all(line.endswith(".3 has ended") for line in lines), lines
    assert time.monotonic() - begun < 20


def test_outside_of_a_job_there_is_nothing_to_wait_for(shared: Cluster, python: str) -> None:
    result = shared.run("env", _LIBRARY, "GLUNIX_NPID=1", python, "-c", _SAYS)
    assert result.status != 0
    assert "this process is of no job on this node" in result.complaint


_C = r"""
#include <glunix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int check(int value, const char *what) {
    if (value < 0) {
        printf("%s: %s\n", what, Glib_ErrorString());
        exit(3);
    }
    return value;
}

int main(int count, char **words) {
    char text[4096];
    if (count > 1 && !strcmp(words[1], "spawn")) {
        char *command[] = {"sh", "-c", "exit 3", NULL};
        int npid = check(Glib_Spawn(2, command), "spawn");
        printf("%d\n", Glib_Wait(npid));
        printf("%d", Glib_GetState(npid, text, sizeof text));
        printf(" %s\n", text);
        return 0;
    }
    if (count > 1 && !strcmp(words[1], "beside")) {
        char *command[] = {"sh", "-c", "echo $GLUNIX_VNN $GLUNIX_NODE", NULL};
        int other = atoi(words[2]), npid = check(Glib_CoSpawn(other, command), "cospawn");
        check(Glib_Wait(npid), "wait");
        check(Glib_GetNodes(other, text, sizeof text), "nodes");
        fputs(text, stdout);
        putchar('\n');
        check(Glib_Signal(other, GLIB_ALL, 15), "signal");
        return 0;
    }
    check(Glib_Initialize(), "initialize");
    int child = fork();
    if (child == 0) return Glib_GetMyVNN() < 0;
    for (int turn = 0; turn < 50; turn++) check(Glib_Barrier(), "barrier");
    snprintf(text, sizeof text, "%d of %d\n", Glib_GetMyVNN(), Glib_GetMyParDegree());
    write(1, text, strlen(text));
    return 0;
}
"""


@pytest.fixture(scope="module")
def in_c(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lib")
    folder.chmod(0o755)
    (folder / "prog.c").write_text(_C)
    flags = [shared.run("glunix", "config", f"--{what}") for what in ("cflags", "libs")]
    assert not any(one.status for one in flags), flags
    words = [*flags[0].text.split(), "prog.c", *flags[1].text.split()]
    command = ["gcc", "-Wall", "-Werror", "-o", "prog", *words]
    subprocess.run(command, check=True, cwd=folder, timeout=60)
    return folder / "prog"


@pytest.mark.parametrize("how", ["adaptive", "block", "spin"])
def test_c_programs_pass_barriers(shared: Cluster, in_c: Path, how: str) -> None:
    lines = ran(shared, 3, f"GLUNIX_WAIT={how}", str(in_c))
    assert sorted(lines) == ["0 of 3", "1 of 3", "2 of 3"]


def test_c_programs_start_jobs_and_wait_for_them(shared: Cluster, in_c: Path) -> None:
    result = shared.run(str(in_c), "spawn")
    assert result.text.splitlines() == ["3", "2 exited"], result


def test_a_job_beside_another_has_its_nodes_and_vnns(shared: Cluster, in_c: Path) -> None:
    job = shared.start("glurun", "-n", "3", "sleep", "60")
    until(lambda: running(shared), "the job runs")
    npid = running(shared)[0]
    lines = shared.run(str(in_c), "beside", str(npid)).text.splitlines()
    nodes = [line for line in lines if " " not in line]  # glurun's lines come when they come
    told = sorted(line for line in lines if " " in line)
    assert told == [f"{vnn} {node}" for vnn, node in enumerate(nodes)]
    assert finish(job).status == 143


def running(cluster: Cluster) -> list[int]:
    rows = json.loads(cluster.run("glups", "--json").text)
    rows = rows["jobs"] if isinstance(rows, dict) else rows
    found = [row for row in rows if row["command"] == "sleep 60"]
    return [row["npid"] for row in found if all(p["state"] == "running" for p in row["procs"])]


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["--with", "999999", "true"], 125, "no job 999999"),
        (["--with", "1", "-n", "2", "true"], 125, "leave out --degree"),
        (["--with", "x", "true"], 125, "--with wants a number"),
        (["--npid-fd", "77", "true"], 125, "--npid-fd=77: Bad file descriptor"),
    ],
)
def test_what_cannot_be_is_one_line(
    shared: Cluster, words: list[str], status: int, text: str
) -> None:
    result = shared.run("glurun", *words)
    assert result.status == status
    assert text in result.complaint
    assert len(result.complaint.splitlines()) == 1


def test_without_a_cluster_every_call_says_so_at_once(
    shared: Cluster, in_c: Path, tmp_path: Path
) -> None:
    nowhere = f"GLUNIX_DIR={tmp_path}"
    for words in (["spawn"], ["beside", "1"], []):
        result = shared.run("env", nowhere, str(in_c), *words)
        assert result.status == 3
        assert "no GLUnix daemon answers in" in result.text
    assert "of no job on this node" in shared.run(str(in_c)).text


def test_torch_programs_find_what_torchrun_sets(shared: Cluster) -> None:
    script = "echo $RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $MASTER_ADDR $MASTER_PORT"
    result = shared.run("glurun", "-n", "2", "-w", "node1", "--env", "torch", "sh", "-c", script)
    lines = sorted(line.split() for line in result.text.splitlines())
    assert [line[:5] for line in lines] == [
        ["0", "2", "0", "2", "127.0.0.1"],
        ["1", "2", "1", "2", "127.0.0.1"],
    ]
    assert lines[0][5] == lines[1][5]
    assert shared.run("glurun", "--env", "tf", "true").status == 125
