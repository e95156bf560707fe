"""`glunix install-units`: systemd units for this machine's master and daemon.

Owns their text. They run `glunix master` and `glunix daemon` in the foreground, which say when they
are ready (sd_notify(3)) and write to the journal.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

from glunix import settings
from glunix.cli.services import MASTER, state_of, this_tool
from glunix.cluster.folder import cluster_folder
from glunix.errors import GlunixError

SYSTEM = "/etc/systemd/system"
_RUNNING = Path("/run/systemd/system")
"""Exists where systemd is the init system (sd_booted(3))."""

_UNIT = """\
# Made by `glunix install-units`.
[Unit]
Description=GLUnix {what} of {cluster}
Wants=network-online.target
After=network-online.target{after}

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
TimeoutStartSec=infinity
TimeoutStopSec=20
Restart=on-failure
RestartSec=1
StandardOutput=journal
StandardError=journal
LimitNOFILE=262144
TasksMax=infinity
{more}
[Install]
WantedBy={target}
"""

_MASTER = """\
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
"""

_DAEMON = """\
# Jobs are its children: what it does not end itself, systemd ends.
KillMode=mixed
Delegate=yes
OOMPolicy=continue
"""


def _quoted(words: list[str]) -> str:
    """Words for ExecStart (systemd.service(5)): `%` and `$` doubled, each in double quotes."""
    found = []
    for word in words:
        if not word.isprintable():
            raise GlunixError(f"no unit can have this in its command: {word!r}")
        plain = word.replace("\\", "\\\\").replace('"', '\\"')
        plain = plain.replace("%", "%%").replace("$", "$$")
        found.append(f'"{plain}"' if set(word) & set(" \\\"'%$;") else plain)
    return " ".join(found)


def units(folder: Path, conf: settings.Settings, tool: list[str], as_root: bool) -> dict[str, str]:
    """File name -> text of the units of this machine."""
    target = "multi-user.target" if as_root else "default.target"
    state = state_of(folder, conf)
    runtime = ""
    if state == Path("/run/glunix"):
        runtime = "RuntimeDirectory=glunix\nRuntimeDirectoryPreserve=yes\n"
    found = {}
    services = [(MASTER, _MASTER, "")] if conf.master is not None else []
    services.append(("daemon", _DAEMON, " glunix-master.service" if services else ""))
    for what, more, after in services:
        found[f"glunix-{what}.service"] = _UNIT.format(
            what=what,
            cluster=conf.cluster.name,
            after=after,
            command=_quoted([*tool, what, "--folder", str(folder)]),
            more=more + runtime,
            target=target,
        )
    return found


def run_install_units(args: argparse.Namespace) -> int:
    """Write the units, and with --now enable and start them."""
    folder = cluster_folder(args.folder)
    root = os.geteuid() == 0
    where = Path(args.dir or (SYSTEM if root else Path.home() / ".config/systemd/user"))
    texts = units(folder, settings.read(folder), this_tool(), root)
    if args.now and not _RUNNING.exists():
        raise GlunixError("systemd does not run here: leave out --now, or use `glunix up`")
    try:
        where.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (where / name).write_text(text)
    except OSError as error:
        raise GlunixError(f"cannot write units to {where}: {error.strerror}") from None
    systemctl = ["systemctl"] if root else ["systemctl", "--user"]
    steps = [[*systemctl, "daemon-reload"], [*systemctl, "enable", "--now", *texts]]
    if args.now:
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True)
            if done.returncode:
                raise GlunixError(f"{' '.join(step)}: {done.stderr.strip()}")
    if args.json:
        print(json.dumps({"folder": str(where), "units": sorted(texts), "started": args.now}))
        return 0
    print(f"{' and '.join(texts)}: {'started' if args.now else f'written to {where}'}")
    if not args.now:
        print("next: " + " && ".join(" ".join(step) for step in steps))
    return 0
