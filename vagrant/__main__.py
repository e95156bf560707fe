"""`python3 -m vagrant`: the lab by hand. `make lab`, `lab-test` and `lab-down` call it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from vagrant import libvirt, quick
from vagrant.image import image
from vagrant.recipe import BOOT_TOOLS, Content
from vagrant.recipe import TOOLS as IMAGE_TOOLS
from vagrant.steps import UNAVAILABLE, LabError, Tool, need

NEEDS: dict[str, tuple[Tool, ...]] = {
    "quick": (*IMAGE_TOOLS, *quick.TOOLS),
    "vagrant": (*IMAGE_TOOLS, *BOOT_TOOLS, *libvirt.TOOLS),
}


def _check(args: argparse.Namespace) -> int:
    need(f"the {args.kind} lab", NEEDS[args.kind])
    return 0


def _tools(args: argparse.Namespace) -> int:
    tools = [tool for tool in dict.fromkeys(NEEDS[args.kind]) if tool.package]
    print(*(f"{tool.package}:{tool.command}" for tool in tools))
    return 0


def _image(args: argparse.Namespace) -> int:
    built = image(Content(args.content))
    print(f"{built.folder} ({'from the cache' if not built.seconds else f'{built.seconds:.0f} s'})")
    return 0


def _up(_: argparse.Namespace) -> int:
    began = time.monotonic()
    lab = libvirt.up()
    print(f"the lab is up ({time.monotonic() - began:.0f} s): {', '.join(libvirt.NAMES)}")
    print(libvirt.versions(libvirt.built_box()))
    print(f"namespace {lab.space.name}; `python3 -m vagrant ssh home`, `make lab-down`")
    return 0


def _down(_: argparse.Namespace) -> int:
    print("the lab is gone" if libvirt.down() else "no lab is up")
    return 0


def _ssh(args: argparse.Namespace) -> int:
    lab = libvirt.here()
    if not lab.running():
        raise LabError("no lab is up: make lab")
    with tempfile.TemporaryDirectory(prefix="glunix-ssh-") as folder:
        remote = lab.remotes(libvirt.built_box(), Path(folder))[args.machine]
        status = subprocess.call(_shell(remote.words, args))
        remote.forget()
    return status


def _quick(args: argparse.Namespace) -> int:
    with quick.quick_lab(args.nodes) as lab:
        print(f"{', '.join(lab.machines)} are up ({lab.accelerator}, {lab.seconds:.0f} s)")
        print("the lab lives as long as this shell")
        return subprocess.call(_shell(lab.remotes["home"].words, args))


def _shell(words: Callable[..., list[str]], args: argparse.Namespace) -> list[str]:
    """ssh with the command of `args`, or a login shell."""
    return words(args.command or ["bash", "-l"], args.user, terminal=os.isatty(0))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser("python3 -m vagrant", description=__doc__)
    commands = found.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, work: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(work=work)
        return command

    check = add("check", _check, "say which tools a kind of lab lacks here; status 69 when any")
    tools = add("tools", _tools, "the tools of a kind of lab as PACKAGE:COMMAND, for .ci/need")
    for command in (check, tools):
        command.add_argument("kind", choices=NEEDS)
    add("up", _up, "bring up the Vagrant lab")
    add("down", _down, "take it down and leave nothing")
    built = add("image", _image, "build an image into the cache")
    built.add_argument("content", choices=[content.value for content in Content])
    near = add("quick", _quick, "a quick lab and a shell on its home; both end together")
    near.add_argument("--nodes", type=int, default=2)
    far = add("ssh", _ssh, "a shell or a command on a machine of the Vagrant lab")
    far.add_argument("machine", choices=libvirt.NAMES)
    for command in (near, far):
        command.add_argument("--user", default="root")
        command.add_argument("command", nargs="*")
    return found


def main() -> int:
    """Run one command; UNAVAILABLE, with a line on stderr, when the lab cannot."""
    args = parser().parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that what was begun is taken down
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        status: int = args.work(args)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return UNAVAILABLE
    return status


if __name__ == "__main__":
    sys.exit(main())
