"""A cluster of several machines: init, invite, join, leave, revoke, members, config.

Owns what these print and the order in which files are written. Certificates are glunix.trust's,
what runs is glunix.cli.services'.
"""

import argparse
import getpass
import json
import os
import pwd
import re
import secrets
import socket
import sys
import time
from pathlib import Path

import msgspec

from glunix import config, settings
from glunix.addresses import Address, join_address, split_address
from glunix.cli import services
from glunix.cli.common import one_line, show_table
from glunix.cli.hidden_arguments import hide_argument
from glunix.cluster import enrolment
from glunix.cluster.folder import cluster_folder, default_state, made_safe
from glunix.errors import GlunixError, Refused
from glunix.ids import Why, node_name
from glunix.msg import trust as messages
from glunix.settings import DAEMON_PORT, MASTER_PORT, Settings
from glunix.trust import certs
from glunix.trust.authority import Papers, new_cluster
from glunix.trust.files import TrustFiles, write_private
from glunix.trust.tokens import read_token

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
INVITE_MOST = 31 * 86400.0


def seconds(text: str) -> float:
    """`90`, `30s`, `15m`, `1h`, `7d`; argparse's error when it is none or over 31 days."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    found = float(match[1]) * _UNITS[match[2] or "s"] if match else 0.0
    if not 0 < found <= INVITE_MOST:
        raise argparse.ArgumentTypeError(f"not a time from 1s to 31d: {text!r}")
    return found


def _own_name() -> str:
    name = socket.gethostname().partition(".")[0]
    try:
        return node_name(name)
    except ValueError:
        raise Refused(Why.BAD_REQUEST, f"host name {name!r} is no node name: use --name") from None


def _route_address() -> str:
    """The address of the interface that leads out; no packet is sent by connecting UDP (udp(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(sock.getsockname()[0])


# -- init ------------------------------------------------------------------------------------


def run_init(args: argparse.Namespace) -> int:
    """`glunix init`: CA, the master's certificate, this machine's, and glunix.toml."""
    folder = cluster_folder(args.folder)
    listen = split_address(args.listen, MASTER_PORT)
    if settings.path_of(folder).exists():
        raise Refused(Why.BAD_REQUEST, f"{settings.path_of(folder)} exists: a cluster is there")
    made_safe(folder)
    node = args.name or _own_name()
    conf = _first_settings(folder, args, listen, node)
    files = TrustFiles(config.private(folder))
    assert conf.master is not None
    life = conf.master.certificate_days * 86400
    now = time.time()
    authority = new_cluster(files, life, now, secrets.token_bytes(32))
    key = certs.new_key()
    write_private(files.node_key, certs.key_pem(key))
    _write_papers(files, authority.admit(certs.new_request(key), node, now))
    _write_settings(folder, conf)
    if args.json:
        answer = {"folder": str(folder), "cluster": conf.cluster.name, "node": node,
                  "master": conf.cluster.master}  # fmt: skip
        print(json.dumps(answer))
        return 0
    print(f"cluster {conf.cluster.name} made in {folder}: master at {conf.cluster.master}")
    if str(folder) != str(cluster_folder()):
        print(f"for all tools: export GLUNIX_DIR={folder}")
    print("next: glunix up; glunix invite; then on another machine: glunix join")
    return 0


def _first_settings(folder: Path, args: argparse.Namespace, listen: Address, node: str) -> Settings:
    host, port = listen
    if args.address:
        reached = split_address(args.address, port)
    else:
        reached = (_route_address() if host in ("0.0.0.0", "::") else host, port)
    daemon_port = port + 1 if port != MASTER_PORT else DAEMON_PORT
    try:
        cluster = settings.ClusterSection(args.cluster or node_name(node), join_address(reached))
    except ValueError as error:
        raise Refused(Why.BAD_REQUEST, str(error)) from None
    return Settings(
        cluster=cluster,
        daemon=settings.DaemonSection(
            node,
            args.daemon_listen or join_address((host, min(daemon_port, 65535))),
            accepts_jobs=args.accept_jobs,
        ),
        master=settings.MasterSection(join_address(listen)),
        users=settings.UsersSection(allow_root=args.allow_root),
        state=default_state(folder),
    )


def _write_settings(folder: Path, conf: Settings) -> None:
    path = settings.path_of(folder)
    write_private(path, settings.render(conf).encode())
    path.chmod(0o644)
    settings.read(folder)  # what we write is what we can read


def _write_papers(files: TrustFiles, papers: Papers) -> None:
    write_private(files.listen_cert, papers.listen_cert)
    write_private(files.node_cert, papers.node_cert)


# -- the owner's questions to the master -----------------------------------------------------


def run_invite(args: argparse.Namespace) -> int:
    """`glunix invite`: print a token."""
    uid = _uid(args.user) if args.user else None
    master = enrolment.Admin(_state(args))
    answer = master.ask(messages.InviteAsked(args.expires, args.name or "", uid), messages.Invited)
    conf = settings.read(cluster_folder(args.folder))
    if args.json:
        until = time.time() + args.expires
        line = {"token": answer.token, "master": conf.cluster.master, "until": until}
        print(json.dumps(line))
    elif sys.stdout.isatty():
        print(f"valid once, for {args.expires:.0f} s. On the other machine:\n")
        print(f"  glunix join {conf.cluster.master} {answer.token}")
    else:
        print(answer.token)
    return 0


def _uid(text: str) -> int:
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise Refused(Why.BAD_REQUEST, f"no user is called {text!r}") from None


def _read_settings(folder: Path) -> Settings:
    """glunix.toml; Refused with what there is where the folder has none."""
    if settings.path_of(folder).exists():
        return settings.read(folder)
    text = "`glunix init` makes a cluster of several machines, `glunix join` joins one"
    if (config.private(folder) / "cluster.json").exists():
        what = f"the cluster in {folder} is on this machine only (`glunix up` made it)"
        raise Refused(
            Why.BAD_REQUEST, f"{what}: no {settings.NAME}, members or invitations; {text}"
        )
    raise Refused(Why.BAD_REQUEST, f"no {settings.NAME} in {folder}: {text}")


def _state(args: argparse.Namespace) -> Path:
    folder = cluster_folder(args.folder)
    conf = _read_settings(folder)
    if conf.master is None:
        text = f"this is {conf.daemon.node}: ask on the master's machine ({conf.cluster.master})"
        raise Refused(Why.BAD_REQUEST, text)
    return folder


def run_revoke(args: argparse.Namespace) -> int:
    """`glunix revoke NODE`: it is no member any more."""
    answer = enrolment.Admin(_state(args)).ask(messages.RevokeAsked(args.node), messages.Done)
    print(json.dumps({"revoked": args.node}) if args.json else f"{args.node} is no member any more")
    if answer.text:
        print(f"glunix: note: {answer.text}", file=sys.stderr)
    return 0


def run_members(args: argparse.Namespace) -> int:
    """`glunix members`: who has a certificate."""
    answer = enrolment.Admin(_state(args)).ask(messages.MembersAsked(), messages.Members)
    if args.json:
        print(json.dumps([_named(row) for row in answer.rows]))
        return 0
    table = [
        (
            one_line(row.name),
            "connected" if row.connected else "-",
            _date(row.since),
            _date(row.until),
            "all" if row.uid is None else str(row.uid),
        )
        for row in answer.rows
    ]
    show_table(("NODE", "LINK", "MEMBER SINCE", "CERTIFICATE UNTIL", "USERS"), table)
    return 0


def _named(row: messages.MemberRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def _date(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


# -- join and leave --------------------------------------------------------------------------


def run_join(args: argparse.Namespace) -> int:
    """`glunix join MASTER TOKEN`: a certificate for this machine, and its daemon."""
    folder = cluster_folder(args.folder)
    files = TrustFiles(config.private(folder))
    if settings.path_of(folder).exists() or files.node_cert.exists():
        raise Refused(Why.BAD_REQUEST, f"this machine is in a cluster ({folder}): leave it first")
    master = split_address(args.master, MASTER_PORT)
    token = read_token(_token_text(args.token))
    name = args.name or _own_name()
    listen = split_address(args.listen, DAEMON_PORT)
    made_safe(folder)
    uid = None if os.geteuid() == 0 else os.geteuid()
    key = certs.new_key()
    write_private(files.node_key, certs.key_pem(key))
    try:
        found = enrolment.join(master, token, name, uid, certs.new_request(key))
    except BaseException:
        files.node_key.unlink(missing_ok=True)
        raise
    write_private(files.ca_cert, found.ca)
    write_private(files.names_key, found.enrolled.names_key)
    node = node_name(name)
    _write_papers(files, Papers(node, found.enrolled.node_cert, found.enrolled.listen_cert))
    daemon = settings.DaemonSection(
        name, join_address(listen), args.advertise or "", not args.no_jobs,
        found.enrolled.lost_after,
    )  # fmt: skip
    cluster = settings.ClusterSection(found.cluster, join_address(master))
    _write_settings(folder, Settings(cluster, daemon, state=default_state(folder)))
    return _joined(folder, found, name, args)


def _token_text(given: str | None) -> str:
    """What was given, and from then on not to be seen by ps(1); else what is typed or piped."""
    if given is not None and given != "-":
        hide_argument(given)
        return given
    if sys.stdin.isatty():
        return getpass.getpass("token: ")
    return sys.stdin.readline()


def _joined(folder: Path, found: enrolment.Found, name: str, args: argparse.Namespace) -> int:
    if abs(found.clock) > enrolment.CLOCK_NOTE:
        which = "behind" if found.clock > 0 else "ahead of"
        text = f"this machine's clock is {abs(found.clock):.0f} s {which} the master's"
        print(f"glunix: note: {text}", file=sys.stderr)
    if not args.no_start:
        services.start(folder)
    if args.json:
        answer = {"folder": str(folder), "cluster": found.cluster, "node": name,
                  "started": not args.no_start}  # fmt: skip
        print(json.dumps(answer))
        return 0
    doing = "start its daemon with `glunix up`" if args.no_start else "its daemon runs"
    print(f"{name} is a member of {found.cluster}: {doing} ({folder})")
    if str(folder) != str(cluster_folder()):
        print(f"for all tools: export GLUNIX_DIR={folder}")
    return 0


def run_leave(args: argparse.Namespace) -> int:
    """`glunix leave`: stop the daemon, have the certificate revoked, remove the keys."""
    folder = cluster_folder(args.folder)
    conf = _read_settings(folder)
    if conf.master is not None:
        text = f"the master is here: `glunix down`, then remove {folder} to end the cluster"
        raise Refused(Why.BAD_REQUEST, text)
    files = TrustFiles(config.private(folder))
    services.stop_all(folder)
    told = ""
    try:
        enrolment.leave(files, split_address(conf.cluster.master, MASTER_PORT))
    except GlunixError as error:
        if not args.force:
            text = f"{error}; --force leaves anyway, then revoke {conf.daemon.node} on the master"
            raise GlunixError(text) from None
        told = str(error)
    for path in [*files.of_node(), files.revoked, settings.path_of(folder)]:
        path.unlink(missing_ok=True)
    if told:
        print(f"glunix: the master was not told: {told}", file=sys.stderr)
    node, cluster = conf.daemon.node, conf.cluster.name
    left = json.dumps({"node": node, "left": cluster, "told": not told})
    print(left if args.json else f"{node} has left {cluster}")
    return 0


def run_config(args: argparse.Namespace) -> int:
    """`glunix config`: check glunix.toml and print every knob with its value."""
    if args.cflags or args.libs:
        from glunix.lib import library

        words = [library.compiler_flags()] if args.cflags else []
        print(" ".join([*words, *([library.linker_flags()] if args.libs else [])]))
        return 0
    folder = cluster_folder(args.folder)
    conf = _read_settings(folder)
    if conf.users.mapping:
        from glunix.users import Users

        try:
            Users(table=settings.read_users(conf.users.mapping))
        except ValueError as error:
            raise GlunixError(f"{conf.users.mapping}: {error}") from None
    path, state = settings.path_of(folder), services.state_of(folder, conf)
    old = services.older_than(state, path)
    if args.json:
        more = {"file": str(path), "state_folder": str(state), "restart": old}
        print(json.dumps(msgspec.to_builtins(conf) | more))
    else:
        print(f"# {path}; sockets, journal and logs in {state}")
        sys.stdout.write(settings.render(conf))
    if old:
        text = f"{' and '.join(old)} started before {path.name} was changed: glunix down; glunix up"
        print(f"glunix: note: {text}", file=sys.stderr)
    return 0
