"""Run on a lab node: dial a TLS port as somebody, say hello, tell how many bytes come back.

stranger.py PRIVATE-FOLDER HOST:PORT node|nobody
"""

import socket
import ssl
import sys
from pathlib import Path

from glunix.msg.base import encode
from glunix.msg.frame import encode_frame
from glunix.msg.peer import PeerHello


def main() -> None:
    private, address, kind = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if kind == "node":
        context.load_cert_chain(private / "node.crt", private / "node.key")
    host, _, port = address.rpartition(":")
    heard = 0
    with socket.create_connection((host, int(port)), 10) as bare:
        try:
            with context.wrap_socket(bare) as link:
                link.sendall(encode_frame(0, encode(PeerHello(1, 0, "home", "x"))))
                while data := link.recv(65536):
                    heard += len(data)
        except (ssl.SSLError, ConnectionError):
            pass  # refused, which is what we are here to see
    print(f"{heard} bytes")


main()
