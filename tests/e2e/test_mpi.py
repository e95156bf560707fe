"""Unmodified MPI programs (MPICH from PyPI, mpi4py) under glurun: paper 4.6."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .cluster import Cluster, finish

_PROGRAM = r"""
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **words) {
    int rank, size, sum = 0, token = 0;
    const char *what = count > 1 ? words[1] : "";
    MPI_Init(&count, &words);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank) MPI_Recv(&token, 1, MPI_INT, rank - 1, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (rank + 1 < size) MPI_Send(&rank, 1, MPI_INT, rank + 1, 7, MPI_COMM_WORLD);
    if (!strcmp(what, "abort") && rank == 1) MPI_Abort(MPI_COMM_WORLD, 7);
    if (!strcmp(what, "exit") && rank == 1) _Exit(5);
    if (!strcmp(what, "spawn")) {
        char text[MPI_MAX_ERROR_STRING];
        int length;
        MPI_Comm other;
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
        int error = MPI_Comm_spawn("true", MPI_ARGV_NULL, 1, MPI_INFO_NULL, 0, MPI_COMM_WORLD,
                                   &other, MPI_ERRCODES_IGNORE);
        MPI_Error_string(error, text, &length);
        if (rank == 0) puts(error == MPI_SUCCESS ? "spawned" : "refused");
    }
    MPI_Barrier(MPI_COMM_WORLD);
    printf("rank %d of %d, sum %d\n", rank, size, sum);
    fflush(stdout);
    MPI_Finalize();
    return 0;
}
"""

_ENV = ["env", "MPIR_CVAR_CH4_NETMOD=ofi", "FI_PROVIDER=tcp", "FI_TCP_IFACE=lo"]
"""Nodes of one machine are apart (processes, mounts), and speak by loopback."""

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mpi")
    (folder / "prog.c").write_text(_PROGRAM)
    command = [str(BIN / "mpicc"), "-o", "prog", "prog.c"]
    subprocess.run(command, check=True, cwd=folder, timeout=60)
    return folder / "prog"


@pytest.mark.parametrize(("where", "degree"), [([], 4), (["-w", "node1"], 3), ([], 1)])
def test_ranks_find_each_other(
    shared: Cluster, program: Path, where: list[str], degree: int
) -> None:
    words = [*where, "-n", str(degree), *_ENV, str(program)]
    result = shared.run("glurun", *words, timeout=60)
    total = sum(range(degree))
    wanted = [f"rank {rank} of {degree}, sum {total}" for rank in range(degree)]
    assert (sorted(result.text.splitlines()), result.status) == (wanted, 0), result


def test_two_jobs_at_once_do_not_see_each_other(shared: Cluster, program: Path) -> None:
    jobs = [shared.start("glurun", "-n", "2", *_ENV, str(program)) for _ in range(2)]
    for job in jobs:
        found = finish(job, 60)
        wanted = ["rank 0 of 2, sum 1", "rank 1 of 2, sum 1"]
        assert sorted(found.text.splitlines()) == wanted, found


@pytest.mark.parametrize(("what", "status"), [("abort", 7), ("exit", 5)])
def test_one_rank_ends_the_job_with_its_status(
    shared: Cluster, program: Path, what: str, status: int
) -> None:
    result = shared.run("glurun", "-n", "3", *_ENV, str(program), what, timeout=60)
    assert result.status == status, result
    assert "rank 0" not in result.text


def test_starting_more_ranks_is_refused_and_the_job_goes_on(shared: Cluster, program: Path) -> None:
    result = shared.run("glurun", "-n", "2", *_ENV, str(program), "spawn", timeout=60)
    assert result.status == 0, result
    assert sorted(result.text.splitlines()) == [
        "rank 0 of 2, sum 1",
        "rank 1 of 2, sum 1",
        "refused",
    ]


def test_mpi4py_scripts_run(shared: Cluster) -> None:
    script = """
from mpi4py import MPI
world = MPI.COMM_WORLD
found = world.gather({"rank": world.Get_rank()}, root=0)
if found:
    print([one["rank"] for one in found], world.bcast("x"), flush=True)
else:
    world.bcast(None)
"""
    command = ["glurun", "-n", "3", *_ENV, sys.executable, "-c", script]
    result = shared.run(*command, timeout=60)
    assert (result.text, result.status) == ("[0, 1, 2] x", 0), result
