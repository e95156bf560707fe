"""Addresses, options and messages of sockets as text (socket(7), ip(7), unix(7))."""

import socket
import struct

from slic.decoding import text
from slic.decoding.view import Decoder, View, array, in_memory

UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
SOL_SOCKET, SOL_TCP = 1, 6
TYPE_MASK = 0xF


def address_text(raw: bytes) -> str:
    """{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}"""
    if len(raw) < 2:
        return text.fields({"sa_family": "AF_UNSPEC"}) if raw else "{}"
    (family,) = struct.unpack_from("=H", raw)
    shown = {"sa_family": text.one(family, "ADDRESS_FAMILY")}
    if family == UNIX:
        if path := raw[2:]:
            abstract = path.startswith(b"\0")
            name = path[1:] if abstract else path.split(b"\0")[0]
            shown["sun_path"] = "@" * abstract + text.quoted(name, None)
    elif family == INET and len(raw) >= 8:
        (port,) = struct.unpack_from("!H", raw, 2)
        shown["sin_port"] = f"htons({port})"
        shown["sin_addr"] = f'inet_addr("{socket.inet_ntop(socket.AF_INET, raw[4:8])}")'
    elif family == INET6 and len(raw) >= 24:
        port, flow = struct.unpack_from("!HI", raw, 2)
        shown["sin6_port"] = f"htons({port})"
        shown["sin6_flowinfo"] = f"htonl({flow})"
        host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
        shown["inet_pton"] = f'inet_pton(AF_INET6, "{host}", &sin6_addr)'
        shown["sin6_scope_id"] = str(struct.unpack_from("=I", raw, 24)[0]) if len(raw) > 27 else "0"
    elif family == NETLINK and len(raw) >= 12:
        pid, groups = struct.unpack_from("=II", raw, 4)
        shown |= {"nl_pid": str(pid), "nl_groups": f"{groups:08x}" if groups else "00000000"}
    else:
        shown["sa_data"] = text.quoted(raw[2:])
    return text.fields(shown).replace("inet_pton=", "")


@in_memory
def _given(view: View, address: int) -> str:
    length = view.int32(5 if view.call.name == "sendto" else 2)
    return address_text(view.tracee.read(address, max(0, min(length, 128))))


def _length_at(view: View) -> int:
    return view.raw(5 if view.call.name == "recvfrom" else 2)


@in_memory
def _told(view: View, address: int) -> str:
    if not (where := _length_at(view)):
        return text.pointer(address)
    (length,) = view.words(where, "i")
    return address_text(view.tracee.read(address, min(length, 128))) if length else "{}"


@in_memory
def _length(view: View, address: int) -> str:
    now = f"[{view.words(address, 'i')[0]}]"
    if view.before in ("", now):
        return now
    return f"{view.before[:-1]} => {now[1:]}"


def _socket_type(view: View, value: int) -> str:
    value &= 0xFFFFFFFF
    kind, rest = text.one(value & TYPE_MASK, "SOCKET_TYPE"), value & ~TYPE_MASK
    return f"{kind}|{text.flags(rest, 'SOCKET')}" if rest else kind


def _protocol(view: View, value: int) -> str:
    table = {INET: "IP_PROTOCOL", INET6: "IP_PROTOCOL", NETLINK: "NETLINK"}.get(view.int32(0))
    return text.one(value & 0xFFFFFFFF, table) if table else str(value & 0xFFFFFFFF)


def _option_name(view: View, value: int) -> str:
    table = {SOL_SOCKET: "SOCKET_OPTION", SOL_TCP: "TCP_OPTION"}.get(view.int32(1))
    return text.one(value & 0xFFFFFFFF, table) if table else str(value & 0xFFFFFFFF)


SO_ERROR, SO_LINGER = 4, 13


def _option_value(view: View, address: int, length: int) -> str:
    if view.int32(1) == SOL_SOCKET and view.int32(2) == SO_LINGER and length >= 8:
        on, seconds = view.words(address, "ii")
        return text.fields({"l_onoff": str(on), "l_linger": str(seconds)})
    if length == 4 and view.int32(1) == SOL_SOCKET and view.int32(2) == SO_ERROR:
        (number,) = view.words(address, "i")
        return f"[{text.errno_name(number) if number else 0}]"
    if length == 4:
        return f"[{view.words(address, 'i')[0]}]"
    return text.quoted(view.tracee.read(address, min(length, 256)))


@in_memory
def _option(view: View, address: int) -> str:
    return _option_value(view, address, view.int32(4))


@in_memory
def _option_told(view: View, address: int) -> str:
    return _option_value(view, address, view.words(view.raw(4), "i")[0])


@in_memory
def _message(view: View, address: int) -> str:
    """struct msghdr; of what was received only as much as the result says."""
    name, length, vector, count, control, size, flags = view.words(address, "QI4xQQQQi")
    if view.result is not None and view.result < 0:
        return text.fields({"msg_namelen": str(length)})
    left = (view.result or 0) if view.call.name == "recvmsg" else 1 << 62

    def one(here: int) -> str:
        nonlocal left
        base, room = view.words(here, "QQ")
        used = min(room, left)
        left -= used
        data = view.tracee.read(base, min(used, text.STRING + 1)) if used else b""
        return text.fields({"iov_base": text.quoted(data), "iov_len": str(room)})

    shown = {
        "msg_name": address_text(view.tracee.read(name, min(length, 128))) if name else "NULL",
        "msg_namelen": str(length),
        "msg_iov": array(view, vector, 16, min(count, 1024), one),
        "msg_iovlen": str(count),
    }
    if size:
        shown["msg_control"] = text.pointer(control)
    shown |= {"msg_controllen": str(size), "msg_flags": text.flags(flags, "MSG")}
    return text.fields(shown)


DECODERS: dict[str, Decoder] = {
    "length": _length,
    "msghdr": _message,
    "option": _option,
    "option_out": _option_told,
    "protocol": _protocol,
    "sockaddr": _given,
    "sockaddr_out": _told,
    "socket_option": _option_name,
    "socket_type": _socket_type,
}
