"""Structures of x86-64 in the caller's memory as text; what strace leaves out is left out here.

Each reads its layout once. man 2 of the calls, and the uapi headers, have them.
"""

import os
import struct
from collections.abc import Callable
from functools import partial

from slic.decoding import text
from slic.decoding.view import Decoder, View, array, in_memory

UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
INFINITY = (1 << 64) - 1
SA_RESTORER = 0x4000000
MOST_ENTRIES = 32


def _device(number: int) -> str:
    return f"makedev({os.major(number):#x}, {os.minor(number):#x})"


def _stat(view: View, address: int) -> str:
    mode, rdev, size = view.words(address, "24xI12xQq")
    kind = mode & 0o170000
    last = {"st_rdev": _device(rdev)} if kind in (0o020000, 0o060000) else {"st_size": str(size)}
    return text.fields({"st_mode": text.file_mode(mode), **last}, more=True)


def _statx(view: View, address: int) -> str:
    mask, _, attributes, _, _, _, mode, size = view.words(address, "IIQIIIH10xQ")
    shown = {
        "stx_mask": text.flags(mask, "STATX"),
        "stx_attributes": text.flags(attributes, "STATX_ATTR"),
        "stx_mode": text.file_mode(mode),
        "stx_size": str(size),
    }
    return text.fields(shown, more=True)


def _seconds(view: View, address: int, parts: str = "tv_nsec") -> str:
    seconds, rest = view.words(address, "qq")
    if parts == "tv_nsec" and rest in (UTIME_NOW, UTIME_OMIT) and "utimens" in view.call.name:
        return "UTIME_NOW" if rest == UTIME_NOW else "UTIME_OMIT"
    shown = text.fields({"tv_sec": str(seconds), parts: str(rest)})
    if "utime" in view.call.name:
        shown += text.moment(seconds, rest if parts == "tv_nsec" else 1000 * rest)
    return shown


_timeval = partial(_seconds, parts="tv_usec")


def _two(one: Callable[[View, int], str]) -> Callable[[View, int], str]:
    return lambda view, address: f"[{one(view, address)}, {one(view, address + 16)}]"


def _interval(one: Callable[[View, int], str], prefix: str = "it") -> Callable[[View, int], str]:
    return lambda view, address: text.fields(
        {f"{prefix}_interval": one(view, address), f"{prefix}_value": one(view, address + 16)}
    )


def _remaining(view: View, address: int) -> str:
    """Only an interrupted sleep says what remains."""
    interrupted = view.result in (-4, -516)
    return _seconds(view, address) if interrupted else text.pointer(address)


def _timezone(view: View, address: int) -> str:
    west, dst = view.words(address, "ii")
    return text.fields({"tz_minuteswest": str(west), "tz_dsttime": str(dst)})


def _limit(value: int) -> str:
    if value == INFINITY:
        return "RLIM64_INFINITY"
    return f"{value // 1024}*1024" if value > 1024 and value % 1024 == 0 else str(value)


def _rlimit(view: View, address: int) -> str:
    soft, hard = view.words(address, "QQ")
    shown = text.fields({"rlim_cur": _limit(soft), "rlim_max": _limit(hard)})
    return shown if "64" in view.call.name else shown.replace("RLIM64", "RLIM")


def _rusage(view: View, address: int) -> str:
    shown = {"ru_utime": _timeval(view, address), "ru_stime": _timeval(view, address + 16)}
    return text.fields(shown, more=True)


def _signal_set(view: View, address: int) -> str:
    return text.signal_set(view.words(address, "Q")[0])


def _sigaction(view: View, address: int) -> str:
    handler, flags, restorer, mask = view.words(address, "QQQQ")
    named = {0: "SIG_DFL", 1: "SIG_IGN"}.get(handler, f"{handler:#x}")
    shown = {
        "sa_handler": named,
        "sa_mask": text.signal_set(mask),
        "sa_flags": text.flags(flags, "SA"),
    }
    if flags & SA_RESTORER:
        shown["sa_restorer"] = f"{restorer:#x}"
    return text.fields(shown)


def _stack(view: View, address: int) -> str:
    base, flags, size = view.words(address, "Qi4xQ")
    named = {0: "0", 1: "SS_ONSTACK", 2: "SS_DISABLE"}.get(flags, text.number(flags))
    shown = {"ss_sp": text.pointer(base), "ss_flags": named, "ss_size": str(size)}
    return text.fields(shown)


def _wait_status(view: View, address: int) -> str:
    if not view.result:
        return text.pointer(address)
    (status,) = view.words(address, "i")
    if os.WIFEXITED(status):
        said = f"WIFEXITED(s) && WEXITSTATUS(s) == {os.WEXITSTATUS(status)}"
    elif os.WIFSTOPPED(status):
        said = f"WIFSTOPPED(s) && WSTOPSIG(s) == {text.signal_name(os.WSTOPSIG(status))}"
    elif os.WIFCONTINUED(status):
        said = "WIFCONTINUED(s)"
    else:
        core = " && WCOREDUMP(s)" if os.WCOREDUMP(status) else ""
        said = f"WIFSIGNALED(s) && WTERMSIG(s) == {text.signal_name(os.WTERMSIG(status))}{core}"
    return f"[{{{said}}}]"


CHILD_CODES = tuple(
    f"CLD_{name}" for name in ("EXITED", "KILLED", "DUMPED", "TRAPPED", "STOPPED", "CONTINUED")
)


def _siginfo(view: View, address: int) -> str:
    number, _, code, pid, uid, status, user, system = view.words(address, "iii4xIIi4xqq")
    if number == 17 and 1 <= code <= len(CHILD_CODES):
        shown = {"si_signo": "SIGCHLD", "si_code": CHILD_CODES[code - 1], "si_pid": str(pid)}
        ended = str(status) if code == 1 else text.signal_name(status)
        shown |= {"si_uid": str(uid), "si_status": ended}
        return text.fields({**shown, "si_utime": str(user), "si_stime": str(system)})
    return text.fields({"si_signo": text.signal_name(number), "si_code": str(code)}, more=True)


def _sigevent(view: View, address: int) -> str:
    _, number, notify, tid = view.words(address, "Qiii")
    shown = {"sigev_signo": text.signal_name(number), "sigev_notify": text.one(notify, "SIGEV")}
    if notify == 4:  # SIGEV_THREAD_ID
        shown["sigev_notify_thread_id"] = str(tid)
    return text.fields(shown)


def _descriptors(view: View, address: int) -> str:
    first, second = view.words(address, "ii")
    return f"[{first}, {second}]"


def _ints(count: int) -> Callable[[View, int], str]:
    return lambda view, address: f"[{', '.join(map(str, view.words(address, f'{count}i')))}]"


def _groups(view: View, address: int) -> str:
    count = view.result or 0
    return array(view, address, 4, count, lambda here: str(view.words(here, "I")[0]))


def _utsname(view: View, address: int) -> str:
    names = [part.split(b"\0")[0] for part in view.words(address, "65s" * 6)]
    shown = {"sysname": text.quoted(names[0], None), "nodename": text.quoted(names[1], None)}
    return text.fields(shown, more=True)


FILE_SYSTEMS = {
    0x01021994: "TMPFS_MAGIC",
    0x01021997: "V9FS_MAGIC",
    0x1CD1: "DEVPTS_SUPER_MAGIC",
    0x27E0EB: "CGROUP_SUPER_MAGIC",
    0x2FC12FC1: "ZFS_SUPER_MAGIC",
    0x58465342: "XFS_SUPER_MAGIC",
    0x61756673: "AUFS_SUPER_MAGIC",
    0x62656572: "SYSFS_MAGIC",
    0x63677270: "CGROUP2_SUPER_MAGIC",
    0x6969: "NFS_SUPER_MAGIC",
    0x64626720: "DEBUGFS_MAGIC",
    0x65735546: "FUSE_SUPER_MAGIC",
    0x794C7630: "OVERLAYFS_SUPER_MAGIC",
    0x9123683E: "BTRFS_SUPER_MAGIC",
    0x9FA0: "PROC_SUPER_MAGIC",
    0xEF53: "EXT2_SUPER_MAGIC",
}


def _statfs(view: View, address: int) -> str:
    kind, block, blocks, free, avail, files, ffree, a, b, name, frsize, flags = view.words(
        address, "qqQQQQQiiqqq"
    )
    shown = {
        "f_type": FILE_SYSTEMS.get(kind & 0xFFFFFFFF) or text.number(kind & 0xFFFFFFFF),
        "f_bsize": str(block),
        "f_blocks": str(blocks),
        "f_bfree": str(free),
        "f_bavail": str(avail),
        "f_files": str(files),
        "f_ffree": str(ffree),
        "f_fsid": f"{{val=[{text.number(a & 0xFFFFFFFF)}, {text.number(b & 0xFFFFFFFF)}]}}",
        "f_namelen": str(name),
        "f_frsize": str(frsize),
        "f_flags": _mount_flags(flags),
    }
    return text.fields(shown)


# Bit by bit from the lowest (ST_ of linux/statfs.h).
MOUNTED = (
    *("ST_RDONLY", "ST_NOSUID", "ST_NODEV", "ST_NOEXEC", "ST_SYNCHRONOUS", "ST_VALID"),
    *("ST_MANDLOCK", "ST_WRITE", "ST_APPEND", "ST_IMMUTABLE", "ST_NOATIME", "ST_NODIRATIME"),
    "ST_RELATIME",
)


def _mount_flags(value: int) -> str:
    names = [name for bit, name in enumerate(MOUNTED) if value >> bit & 1]
    rest = value >> len(MOUNTED) << len(MOUNTED)
    return "|".join(names + [f"{rest:#x}"] * bool(rest)) or "0"


def _sysinfo(view: View, address: int) -> str:
    uptime, one, five, fifteen, total, free, shared, buffers, swap, unused, procs = view.words(
        address, "qQQQQQQQQQH"
    )
    high, free_high, unit = view.words(address + 88, "QQI")
    shown = {
        "uptime": str(uptime),
        "loads": f"[{one}, {five}, {fifteen}]",
        "totalram": str(total),
        "freeram": str(free),
        "sharedram": str(shared),
        "bufferram": str(buffers),
        "totalswap": str(swap),
        "freeswap": str(unused),
        "procs": str(procs),
        "totalhigh": str(high),
        "freehigh": str(free_high),
        "mem_unit": str(unit),
    }
    return text.fields(shown)


def _tms(view: View, address: int) -> str:
    names = ("tms_utime", "tms_stime", "tms_cutime", "tms_cstime")
    return text.fields(dict(zip(names, map(str, view.words(address, "qqqq")), strict=True)))


def _winsize(view: View, address: int) -> str:
    names = ("ws_row", "ws_col", "ws_xpixel", "ws_ypixel")
    return text.fields(dict(zip(names, map(str, view.words(address, "HHHH")), strict=True)))


def _termios(view: View, address: int) -> str:
    iflag, oflag, cflag, lflag = view.words(address, "IIII")
    shown = {"c_iflag": iflag, "c_oflag": oflag, "c_cflag": cflag, "c_lflag": lflag}
    return text.fields({name: text.number(value) for name, value in shown.items()}, more=True)


def _lock(view: View, address: int) -> str:
    kind, whence, start, length, pid = view.words(address, "hh4xqqi")
    shown = {
        "l_type": text.one(kind, "LOCK_TYPE"),
        "l_whence": text.one(whence, "WHENCE"),
        "l_start": str(start),
        "l_len": str(length),
    }
    if view.int32(1) in (5, 36) and view.result is not None:  # F_GETLK tells whose
        shown["l_pid"] = str(pid)
    return text.fields(shown)


def _pollfds(view: View, address: int) -> str:
    def one(here: int) -> str:
        fd, events, _ = view.words(here, "ihh")
        if fd < 0:
            return text.fields({"fd": str(fd)})
        return text.fields({"fd": str(fd), "events": text.flags(events, "POLL")})

    return array(view, address, 8, view.int32(1), one)


def _fd_set(view: View, address: int) -> str:
    return f"[{' '.join(map(str, descriptors_of(view, address)))}]"


def descriptors_of(view: View, address: int) -> list[int]:
    """The descriptors in an fd_set as long as the call's first argument says."""
    size = max(0, min(view.int32(0), 1 << 16))
    mask = int.from_bytes(view.tracee.read(address, -(-size // 64) * 8), "little")
    return [fd for fd in range(size) if mask >> fd & 1]


def _sigset_argument(view: View, address: int) -> str:
    mask, size = view.words(address, "QQ")
    return text.fields({"sigmask": _sigset(view, mask) or "NULL", "sigsetsize": str(size)})


_sigset = in_memory(_signal_set)


def _epoll(view: View, address: int) -> str:
    events, data = view.words(address, "IQ")
    low = data & 0xFFFFFFFF
    value = {"u32": str(low), "u64": str(data)}
    shown = {"events": text.flags(events, "EPOLL"), "data": text.fields(value)}
    return text.fields(shown)


def _epoll_events(view: View, address: int) -> str:
    return array(view, address, 12, view.result or 0, lambda here: _epoll(view, here))


def _cpus(size: int | None, view: View, address: int) -> str:
    read = view.result if size is None else view.raw(size)
    mask = int.from_bytes(view.tracee.read(address, min(read or 0, 1024)), "little")
    return f"[{' '.join(str(n) for n in range(mask.bit_length()) if mask >> n & 1)}]"


def _offset_in(view: View, address: int) -> str:
    return f"[{view.words(address, 'q')[0]}]"


def _offset(view: View, address: int) -> str:
    now = _offset_in(view, address)
    return f"{view.before} => {now}" if view.before else now


def _open_how(view: View, address: int) -> str:
    flags, mode, resolve = view.words(address, "QQQ")
    shown = {"flags": text.open_flags(flags)}
    if mode or flags & os.O_CREAT:
        shown["mode"] = text.octal(mode)
    return text.fields({**shown, "resolve": text.flags(resolve, "RESOLVE")})


def _clone_args(view: View, address: int) -> str:
    if view.before:  # what it has told of the child
        parent = view.words(address, "QQQQ")[3]
        tells = view.words(address, "Q")[0] & 0x100000
        told = f" => {{parent_tid=[{view.words(parent, 'i')[0]}]}}" if tells else ""
        return view.before + told
    values = view.words(address, "8Q")
    flags, _, child, parent, sent, stack, size, tls = values
    shown = {"flags": text.flags(flags, "CLONE")}
    if flags & 0x1200000:
        shown["child_tid"] = f"{child:#x}"
    if flags & 0x100000:
        shown["parent_tid"] = f"{parent:#x}"
    shown["exit_signal"] = text.signal_name(sent) if sent else "0"
    shown["stack"] = text.pointer(stack)
    shown["stack_size"] = text.number(size)
    if flags & 0x80000:
        shown["tls"] = f"{tls:#x}"
    return text.fields(shown)


def _utimbuf(view: View, address: int) -> str:
    access, change = view.words(address, "qq")
    return text.fields({"actime": str(access), "modtime": str(change)})


def _entries(view: View, address: int) -> str:
    """What getdents wrote, counted: 0x55d2 /* 12 entries */."""
    data = view.tracee.read(address, view.result or 0) if view.result else b""
    count = at = 0
    while at + 18 <= len(data):
        at += max(1, struct.unpack_from("=H", data, at + 16)[0])
        count += 1
    return f"{address:#x} /* {count} entr{'y' if count == 1 else 'ies'} */"


_READ: dict[str, Callable[[View, int], str]] = {
    "clone_args": _clone_args,
    "cpus": partial(_cpus, None),
    "cpus_given": partial(_cpus, 1),
    "descriptors": _descriptors,
    "entries": _entries,
    "epoll_event": _epoll,
    "epoll_events": _epoll_events,
    "fd_set": _fd_set,
    "groups": _groups,
    "ints1": _ints(1),
    "itimerspec": _interval(_seconds),
    "itimerval": _interval(_timeval),
    "lock": _lock,
    "offset": _offset,
    "offset_in": _offset_in,
    "open_how": _open_how,
    "pollfds": _pollfds,
    "remaining": _remaining,
    "rlimit": _rlimit,
    "rusage": _rusage,
    "sigaction": _sigaction,
    "sigevent": _sigevent,
    "siginfo": _siginfo,
    "sigset": _signal_set,
    "sigset_argument": _sigset_argument,
    "stack": _stack,
    "stat": _stat,
    "statfs": _statfs,
    "statx": _statx,
    "sysinfo": _sysinfo,
    "termios": _termios,
    "timespec": _seconds,
    "timespecs": _two(_seconds),
    "timeval": _timeval,
    "timevals": _two(_timeval),
    "timezone": _timezone,
    "tms": _tms,
    "utimbuf": _utimbuf,
    "utsname": _utsname,
    "wait_status": _wait_status,
    "winsize": _winsize,
}
DECODERS: dict[str, Decoder] = {name: in_memory(show) for name, show in _READ.items()}
