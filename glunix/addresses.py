"""HOST:PORT as people write it. Pure."""

from glunix.errors import GlunixError

Address = tuple[str, int]


def split_address(text: str, default_port: int) -> Address:
    """`HOST`, `HOST:PORT` or `[V6]:PORT`; GlunixError when it is none of them."""
    host, port = text, str(default_port)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise GlunixError(f"not an address: {text!r} (HOST:PORT)")
        port = rest[1:] or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise GlunixError(f"not an address: {text!r} (HOST:PORT)")
    return host, int(port)


def join_address(address: Address) -> str:
    """The text of an address, which `split_address` reads."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
