"""`glunix up` and `glunix down`: an embedded cluster, every daemon a process of this machine.

Owns what the user is told; the work is glunix.cluster.embedded's, or .services' on a machine of a
cluster. What cannot be had (namespaces) is said.
"""

import argparse
import json
import sys
from pathlib import Path

from glunix import config, settings
from glunix.cli import launchers
from glunix.cli.common import one_line
from glunix.cluster.embedded import start_cluster, stop_cluster
from glunix.cluster.folder import cluster_folder
from glunix.cluster.isolation import cannot_isolate
from glunix.cluster.native_code import compile_all

NODES = 4


def run_up(args: argparse.Namespace) -> int:
    """`glunix up [-n N]`: start what is missing; returns when the cluster is ready."""
    folder = config.state_dir().absolute()  # daemons work in /
    if settings.path_of(cluster_folder()).exists():
        from glunix.cli import services

        return services.run_services(args)
    if args.nodes is None:
        args.nodes = NODES
    everybody, started = start_cluster(folder, args.nodes, args.setuid)
    compile_all(str(folder))
    launchers.improve()
    nodes = [m for m in everybody if m.name.startswith("node")]
    nodes.sort(key=lambda m: (len(m.name), m.name))  # one that was started again comes last
    if args.json:
        rows = [{"name": m.name, "pid": m.pid, "isolated": m.isolated} for m in everybody]
        new = [m.name for m in started]
        print(json.dumps({"folder": str(folder), "members": rows, "started": new}))
        return 0
    if not started:
        print(f"cluster is already up: {len(nodes)} nodes ({folder})")
        return 0
    names = f"{nodes[0].name}..{nodes[-1].name}" if len(nodes) > 1 else nodes[0].name
    print(f"cluster is up: master, home and {len(nodes)} nodes ({names}) in {folder}")
    shared = [m.name for m in nodes if "pid" not in m.isolated]
    if shared:
        print(
            f"note: {len(shared)} nodes share host name, pids and mounts with this machine "
            f"({cannot_isolate() or 'when they started'}): programs run, but `remote` cannot be "
            "told from home"
        )
    return 0


def run_down(args: argparse.Namespace) -> int:
    """`glunix down`: stop everything that `up` started."""
    folder = config.state_dir().absolute()  # daemons work in /
    if settings.path_of(cluster_folder()).exists():
        folder = Path(settings.state_said(cluster_folder()) or cluster_folder()).absolute()
        try:
            settings.read(cluster_folder())
        except settings.SettingsError as error:  # no reason to let the cluster run
            print(f"glunix: note: {one_line(str(error))}", file=sys.stderr)
    count, killed = stop_cluster(folder)
    if args.json:
        print(json.dumps({"folder": str(folder), "ended": count, "killed": killed}))
        return 0
    print("no cluster is up" if count == 0 else f"cluster is down ({count} processes ended)")
    if killed:
        print(f"had to be killed: {', '.join(killed)}", file=sys.stderr)
    return 0
