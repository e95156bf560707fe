"""Invitations: a secret that lets one machine ask for a certificate, once, for some time.

A token is `glunix1.` and 64 bytes in URL-safe base64: the SHA-256 of the CA's certificate, so that
the invited machine knows whom it joins, and a seed. Both sides make the same key and the same
self-signed certificate of the seed; TLS proves possession, so the secret never travels, and the
master keeps only the certificate. Everybody without it is refused by TLS itself.
"""

import base64
import datetime
import hashlib
import secrets
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from glunix.trust.certs import cert_pem, key_pem
from glunix.trust.peer import NotTrusted

_MARK = "glunix1."
_SEED = 32
_SINCE = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_UNTIL = datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC)
"""Dates are fixed because both sides make the certificate; the master knows when it expires."""


@dataclass(frozen=True)
class Token:
    """An invitation as its holder has it."""

    ca_fingerprint: bytes
    seed: bytes

    def __repr__(self) -> str:
        return "Token(...)"  # a secret is not to get into a log by a traceback

    @property
    def text(self) -> str:
        """What `glunix invite` prints."""
        both = self.ca_fingerprint + self.seed
        return _MARK + base64.urlsafe_b64encode(both).decode().rstrip("=")

    @property
    def key(self) -> bytes:
        """The private key, PEM."""
        return key_pem(Ed25519PrivateKey.from_private_bytes(self.seed))

    @property
    def cert(self) -> bytes:
        """The certificate that both sides know, PEM."""
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        public = hashlib.sha256(key.public_key().public_bytes_raw()).digest()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, public[:16].hex())])
        cert = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(int.from_bytes(public[16:], "big") >> 1 | 1)
            .not_valid_before(_SINCE)
            .not_valid_after(_UNTIL)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
            .sign(key, None)
        )
        return cert_pem(cert)


def new_token(ca_fingerprint: bytes) -> Token:
    """A fresh invitation to the cluster of that CA."""
    return Token(ca_fingerprint, secrets.token_bytes(_SEED))


def read_token(text: str) -> Token:
    """Read what a user typed; NotTrusted, without repeating it, when it is no token."""
    text = text.strip()
    try:
        if not text.startswith(_MARK):
            raise ValueError
        body = text[len(_MARK) :]
        raw = base64.b64decode(body + "=" * (-len(body) % 4), b"-_", validate=True)
        if len(raw) != 32 + _SEED:
            raise ValueError
    except ValueError:
        text = "not an invitation: `glunix invite` on the master prints one (glunix1.…)"
        raise NotTrusted(text) from None
    return Token(raw[:32], raw[32:])
