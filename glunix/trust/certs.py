"""Certificates: what a cluster's CA signs, and how a certificate is read. Pure but for randomness.

Three kinds, all with Ed25519 keys, so that every TLS handshake is short:

- the **CA**, self-signed; its subject is random, because a stranger sees it as issuer;
- a **node's** certificate (TLS client): its subject is the node's name and, for a daemon of an
  ordinary user, the one uid that it may speak for;
- a **listener's** certificate (TLS server) for the same key. A server shows it before it knows who
  calls (RFC 8446, 4.4.2), so it holds no name, only a tag: HMAC of the name with a key that all
  members have. Whoever dials node1 computes node1's tag; a stranger learns nothing.
"""

import datetime
import hashlib
import hmac
import secrets

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from glunix.ids import NodeName, node_name
from glunix.trust.peer import NotTrusted, Peer
from glunix.trust.revocation import serial_number

MASTER = "master"
"""What the tag of the master's listener is made of; a node's is made of `node:NAME`."""

SKEW = 3600.0
"""Seconds that a clock of a node may be behind the master's: certificates are valid since then."""

CA_SECONDS = 20 * 365.25 * 86400.0


def new_key() -> Ed25519PrivateKey:
    """A fresh private key."""
    return Ed25519PrivateKey.generate()


def key_pem(key: Ed25519PrivateKey) -> bytes:
    """A private key as PEM (PKCS 8, not encrypted: its file's mode protects it)."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def load_key(pem: bytes) -> Ed25519PrivateKey:
    """Read a private key; NotTrusted when it is none of ours."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise NotTrusted(f"not a private key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise NotTrusted("not an Ed25519 key")
    return key


def load_cert(data: bytes) -> x509.Certificate:
    """Read a certificate, PEM or DER; NotTrusted when it is none."""
    try:
        if data.startswith(b"-----"):
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise NotTrusted(f"not a certificate: {error}") from None


def cert_pem(cert: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return cert.public_bytes(serialization.Encoding.PEM)


def cert_der(cert: x509.Certificate) -> bytes:
    """A certificate as DER."""
    return cert.public_bytes(serialization.Encoding.DER)


def fingerprint(cert: x509.Certificate) -> bytes:
    """SHA-256 of the whole certificate, 32 bytes."""
    return hashlib.sha256(cert_der(cert)).digest()


def serial_of(cert: x509.Certificate) -> str:
    """The serial number as revocation lists have it: hexadecimal."""
    return f"{cert.serial_number:x}"


def ends(cert: x509.Certificate) -> float:
    """Seconds since the epoch at which the certificate expires."""
    return _aware(cert.not_valid_after_utc)


def begins(cert: x509.Certificate) -> float:
    """Seconds since the epoch from which on the certificate is valid."""
    return _aware(cert.not_valid_before_utc)


def _aware(when: datetime.datetime) -> float:
    return when.timestamp()


def _date(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)


def _name(pairs: list[tuple[x509.ObjectIdentifier, str]]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


def _key_usage(sign_certs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certs,
        crl_sign=sign_certs,
        encipher_only=False,
        decipher_only=False,
    )


def new_ca(key: Ed25519PrivateKey, now: float) -> x509.Certificate:
    """A cluster's CA certificate."""
    subject = _name([(NameOID.COMMON_NAME, f"{x509.random_serial_number():x}")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_date(now - SKEW))
        .not_valid_after(_date(now + CA_SECONDS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, None)
    )


class Signer:
    """A CA that can sign: its certificate and its key."""

    def __init__(self, cert: x509.Certificate, key: Ed25519PrivateKey) -> None:
        self.cert = cert
        self._key = key

    def node(
        self,
        public: Ed25519PublicKey,
        name: NodeName,
        uid: int | None,
        now: float,
        life: float,
        issued: int = 0,
    ) -> x509.Certificate:
        """A node's certificate: TLS client, with its name, valid for `life` seconds.

        `issued`: its time for revocations (glunix.trust.revocation), microseconds.
        """
        pairs = [(NameOID.COMMON_NAME, str(name))]
        if uid is not None:
            pairs.append((NameOID.USER_ID, str(uid)))
        return self._sign(public, _name(pairs), ExtendedKeyUsageOID.CLIENT_AUTH, now, life, issued)

    def listener(
        self, public: Ed25519PublicKey, tag: str, now: float, life: float, issued: int = 0
    ) -> x509.Certificate:
        """A listener's certificate: TLS server, with a tag in place of a name."""
        subject = _name([(NameOID.COMMON_NAME, tag)])
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        return self._sign(public, subject, usage, now, life, issued)

    def _sign(
        self,
        public: Ed25519PublicKey,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        now: float,
        life: float,
        issued: int,
    ) -> x509.Certificate:
        until = min(now + life, ends(self.cert))
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.cert.subject)
            .public_key(public)
            .serial_number(serial_number(issued, int.from_bytes(secrets.token_bytes(8))))
            .not_valid_before(_date(now - SKEW))
            .not_valid_after(_date(until))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
            .sign(self._key, None)
        )


def new_request(key: Ed25519PrivateKey) -> bytes:
    """A signing request (PKCS 10, PEM): a public key, and the proof that its owner has the other.

    It asks for nothing: name and rights are the master's to give.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, None).public_bytes(serialization.Encoding.PEM)


def requested_key(pem: bytes) -> Ed25519PublicKey:
    """The public key of a signing request; NotTrusted unless it is signed with its own key."""
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        good = request.is_signature_valid
    except (ValueError, InvalidSignature) as error:
        raise NotTrusted(f"not a signing request: {error}") from None
    if not isinstance(key, Ed25519PublicKey) or not good:
        raise NotTrusted("a signing request needs an Ed25519 key that signed it")
    return key


def tag_of(names_key: bytes, who: str) -> str:
    """What stands in a listener's certificate for `who` (MASTER, or `node:NAME`)."""
    return hmac.digest(names_key, who.encode(), "sha256")[:16].hex()


def _issued(cert: x509.Certificate, ca: x509.Certificate, usage: x509.ObjectIdentifier) -> None:
    try:
        cert.verify_directly_issued_by(ca)
        found = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        raise NotTrusted("a certificate of another cluster") from None
    if usage not in found:
        raise NotTrusted("a certificate for another purpose")


def read_issued(der: bytes, ca: x509.Certificate) -> None:
    """NotTrusted unless this is a listener's certificate of that CA, whosever."""
    _issued(load_cert(der), ca, ExtendedKeyUsageOID.SERVER_AUTH)


def _one(cert: x509.Certificate, oid: x509.ObjectIdentifier) -> str | None:
    found = cert.subject.get_attributes_for_oid(oid)
    if len(found) > 1:
        raise NotTrusted("an ambiguous certificate")
    return str(found[0].value) if found else None


def read_peer(der: bytes, ca: x509.Certificate) -> Peer:
    """Who a node's certificate names; its dates and its proof of possession are TLS's to check."""
    cert = load_cert(der)
    _issued(cert, ca, ExtendedKeyUsageOID.CLIENT_AUTH)
    uid = _one(cert, NameOID.USER_ID)
    try:
        name = node_name(_one(cert, NameOID.COMMON_NAME) or "")
        return Peer(name, serial_of(cert), None if uid is None else int(uid))
    except ValueError as error:
        raise NotTrusted(f"a certificate that names no node: {error}") from None


def read_listener(der: bytes, ca: x509.Certificate, tag: str) -> str:
    """Return the serial of a listener's certificate; NotTrusted unless it has this tag."""
    cert = load_cert(der)
    _issued(cert, ca, ExtendedKeyUsageOID.SERVER_AUTH)
    if not hmac.compare_digest(_one(cert, NameOID.COMMON_NAME) or "", tag):
        raise NotTrusted("another machine answers there")
    return serial_of(cert)
