"""Certificates, tokens and the master's books of trust: no socket, no clock."""

import os
import stat
from pathlib import Path

import pytest

from glunix.errors import GlunixError, Refused
from glunix.ids import NodeName
from glunix.trust import certs, files
from glunix.trust.authority import LONGER, Authority, new_cluster
from glunix.trust.files import TrustFiles, read_private, write_private
from glunix.trust.member import Member, renewal, same_ca
from glunix.trust.peer import NotTrusted
from glunix.trust.revocation import Revocations
from glunix.trust.tokens import new_token, read_token

NOW = 1_800_000_000.0
LIFE = 90 * 86400.0
HOUR = 3600.0


@pytest.fixture
def place(tmp_path: Path) -> TrustFiles:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    return TrustFiles(private)


@pytest.fixture
def authority(place: TrustFiles) -> Authority:
    return new_cluster(place, LIFE, NOW, b"n" * 32)


def request() -> bytes:
    return certs.new_request(certs.new_key())


def der(pem: bytes) -> bytes:
    return certs.cert_der(certs.load_cert(pem))


def enrolled(authority: Authority, name: str, uid: int | None = None, now: float = NOW) -> bytes:
    token = authority.invite(now, HOUR)
    return der(authority.enrol(der(token.cert), request(), name, uid, now).node_cert)


# -- certificates ----------------------------------------------------------------------------


def test_a_name_and_a_uid_come_from_the_certificate(authority: Authority) -> None:
    peer = authority.peer(enrolled(authority, "node1"))
    assert (peer.node, peer.uid) == ("node1", None)
    peer = authority.peer(enrolled(authority, "bobs", 1001))
    assert (peer.node, peer.uid) == ("bobs", 1001)


def test_another_cluster(authority: Authority, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    stranger = enrolled(new_cluster(TrustFiles(other), LIFE, NOW, b"m" * 32), "node1")
    with pytest.raises(NotTrusted, match="another cluster"):
        authority.peer(stranger)
    with pytest.raises(NotTrusted, match="another cluster"):
        certs.read_listener(stranger, authority.ca, "x")


def test_a_listeners_certificate_holds_no_name(authority: Authority) -> None:
    """It is shown to strangers."""
    papers = authority.admit(request(), "very-secret-name", NOW)
    shown = der(papers.listen_cert)
    assert b"very-secret-name" not in shown and b"lunix" not in shown.lower()
    assert b"very-secret-name" in der(papers.node_cert)
    tag = certs.tag_of(authority.names_key, "node:very-secret-name")
    assert certs.read_listener(shown, authority.ca, tag)
    wrong = certs.tag_of(authority.names_key, "node:another")
    with pytest.raises(NotTrusted, match="another machine"):
        certs.read_listener(shown, authority.ca, wrong)


def test_certificates_are_for_one_purpose(authority: Authority) -> None:
    papers = authority.admit(request(), "node1", NOW)
    with pytest.raises(NotTrusted, match="another purpose"):
        authority.peer(der(papers.listen_cert))
    with pytest.raises(NotTrusted, match="another purpose"):
        certs.read_listener(der(papers.node_cert), authority.ca, "x")


@pytest.mark.parametrize("data", [b"", b"-----BEGIN", b"\x30\x82", os.urandom(300)])
def test_what_is_no_certificate(authority: Authority, data: bytes) -> None:
    with pytest.raises(NotTrusted):
        authority.peer(data)
    with pytest.raises(NotTrusted):
        certs.requested_key(data)
    with pytest.raises(NotTrusted):
        certs.load_key(data)


def test_a_damaged_request(authority: Authority) -> None:
    token = authority.invite(NOW, HOUR)
    good = request()
    bad = good.replace(good.splitlines()[1][-8:-4], b"AAAA")
    with pytest.raises(Refused):
        authority.enrol(der(token.cert), bad, "node1", None, NOW)
    authority.enrol(der(token.cert), good, "node1", None, NOW)  # it was not used up


# -- invitations -----------------------------------------------------------------------------


def test_token_survives_typing() -> None:
    token = new_token(b"f" * 32)
    assert read_token(f" {token.text}\n") == token
    assert read_token(token.text).cert == token.cert  # both sides make the same bytes
    assert repr(token) == "Token(...)" and token.seed.hex() not in repr(token)


@pytest.mark.parametrize("text", ["", "glunix1.", "glunix1.AAAA", "glunix1.???", "x" * 90, "é"])
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(NotTrusted) as error:
        read_token(text)
    assert "not an invitation" in str(error.value)


def test_the_secret_is_nowhere_on_the_master(authority: Authority, place: TrustFiles) -> None:
    token = authority.invite(NOW, HOUR)
    kept = b"".join(path.read_bytes() for path in place.private.iterdir())
    secret = token.text.partition(".")[2]
    for form in (token.seed, token.seed.hex().encode(), secret.encode(), secret[43:].encode()):
        assert form not in kept


def test_an_invitation_works_once(authority: Authority, place: TrustFiles) -> None:
    shown = der(authority.invite(NOW, HOUR).cert)
    authority.enrol(shown, request(), "node1", None, NOW)
    with pytest.raises(Refused, match="was used"):
        authority.enrol(shown, request(), "node2", None, NOW)
    again = Authority(place, LIFE)  # and after a restart
    with pytest.raises(Refused, match="was used"):
        again.enrol(shown, request(), "node2", None, NOW)


def test_an_invitation_expires(authority: Authority) -> None:
    token = authority.invite(NOW, HOUR)
    assert token.cert in authority.trusted()
    with pytest.raises(NotTrusted, match="expired"):
        authority.enrol(der(token.cert), request(), "node1", None, NOW + HOUR)
    assert authority.forget_expired(NOW + HOUR)
    assert token.cert not in authority.trusted()


def test_an_invitation_for_one_name_or_user(authority: Authority) -> None:
    named = der(authority.invite(NOW, HOUR, "node7").cert)
    with pytest.raises(Refused, match="for a node named node7"):
        authority.enrol(named, request(), "node8", None, NOW)
    bobs = der(authority.invite(NOW, HOUR, uid=1001).cert)
    with pytest.raises(Refused, match="of uid 1001"):
        authority.enrol(bobs, request(), "node8", 1002, NOW)
    # Whoever says that he is root gets no more than was offered.
    papers = authority.enrol(bobs, request(), "node8", None, NOW)
    assert authority.peer(der(papers.node_cert)).uid == 1001


@pytest.mark.parametrize("name", ["", "master", "a b", "../x", "x" * 65, "-x"])
def test_names_that_nobody_gets(authority: Authority, name: str) -> None:
    shown = der(authority.invite(NOW, HOUR).cert)
    with pytest.raises(Refused):
        authority.enrol(shown, request(), name, None, NOW)


def test_a_name_belongs_to_one(authority: Authority) -> None:
    enrolled(authority, "node1")
    with pytest.raises(Refused, match="node1 is a member already"):
        enrolled(authority, "node1")
    authority.revoke("node1", NOW)
    enrolled(authority, "node1")


def test_an_invitation_cannot_sign(authority: Authority) -> None:
    """The holder of a token makes a certificate of his own with its key: worth nothing."""
    token = authority.invite(NOW, HOUR)
    forger = certs.Signer(certs.load_cert(token.cert), certs.load_key(token.key))
    forged = forger.node(certs.new_key().public_key(), NodeName("home"), None, NOW, LIFE)
    with pytest.raises(NotTrusted):
        authority.peer(certs.cert_der(forged))
    assert authority.invite_of(certs.cert_der(forged), NOW) is None


# -- revocation and renewal ------------------------------------------------------------------


def test_revocation_survives_a_restart(authority: Authority, place: TrustFiles) -> None:
    shown = enrolled(authority, "node1")
    authority.revoke("node1", NOW)
    for books in (authority, Authority(place, LIFE)):
        with pytest.raises(NotTrusted, match="revoked"):
            books.peer(shown)
        assert len(books.revocations().serials) == 2  # the listener's as well
    with pytest.raises(Refused, match="no member"):
        authority.revoke("node1", NOW)
    authority.forget_expired(NOW + LIFE + HOUR)  # TLS refuses it from now on
    assert authority.revocations().serials == frozenset()
    assert authority.revocations().before  # for clocks that are wrong
    authority.forget_expired(NOW + LIFE + LONGER)
    assert authority.revocations() == Revocations()


def test_renewal(authority: Authority) -> None:
    old = enrolled(authority, "node1", 1001)
    peer = authority.peer(old)
    later = NOW + LIFE * 0.7
    papers = authority.renew(peer, request(), later)
    fresh = authority.peer(der(papers.node_cert))
    assert (fresh.node, fresh.uid) == ("node1", 1001)
    assert authority.peer(old) == peer  # in use until the daemon has written the new one
    assert certs.ends(certs.load_cert(papers.node_cert)) > certs.ends(certs.load_cert(old))
    authority.revoke("node1", NOW)
    for shown in (old, der(papers.node_cert)):
        with pytest.raises(NotTrusted, match="revoked"):
            authority.peer(shown)


def test_when_to_renew(authority: Authority) -> None:
    cert = certs.load_cert(enrolled(authority, "node1"))
    assert abs(renewal(cert) - (NOW + LIFE * 2 / 3)) < 2


def test_the_masters_own_certificate(authority: Authority, place: TrustFiles) -> None:
    first = place.master_cert.read_bytes()
    authority.own_listener(NOW + LIFE / 2)
    assert place.master_cert.read_bytes() == first
    authority.own_listener(NOW + LIFE * 0.7)
    assert place.master_cert.read_bytes() != first


def member_of(authority: Authority, place: TrustFiles, name: str) -> Member:
    key = certs.new_key()
    papers = authority.admit(certs.new_request(key), name, NOW)
    write_private(place.node_key, certs.key_pem(key))
    write_private(place.node_cert, papers.node_cert)
    write_private(place.listen_cert, papers.listen_cert)
    return Member(place)


def test_a_member_takes_only_its_own_certificates(authority: Authority, place: TrustFiles) -> None:
    member = member_of(authority, place, "node1")
    assert member.renew_in(NOW) > 0 >= member.renew_in(NOW + LIFE * 0.7)
    later = NOW + LIFE * 0.7
    wrong_key = authority.renew(member.me, request(), later)
    before = place.node_cert.read_bytes()
    with pytest.raises(NotTrusted, match="not ours"):
        member.renewed(wrong_key.node_cert, wrong_key.listen_cert)
    other = authority.admit(member.request(), "node2", later)
    with pytest.raises(NotTrusted):
        member.renewed(other.node_cert, other.listen_cert)
    assert place.node_cert.read_bytes() == before
    good = authority.renew(member.me, member.request(), later)
    member.renewed(good.node_cert, good.listen_cert)
    assert member.renew_in(later) > 0 and place.node_cert.read_bytes() == good.node_cert


def test_a_member_remembers_revocations(authority: Authority, place: TrustFiles) -> None:
    member = member_of(authority, place, "node1")
    shown = enrolled(authority, "node2")
    assert member.peer(shown).node == "node2"
    authority.revoke("node2", NOW)
    member.now_revoked(authority.revocations())
    for one in (member, Member(place)):
        with pytest.raises(NotTrusted, match="revoked"):
            one.peer(shown)


def test_the_tokens_fingerprint(authority: Authority, tmp_path: Path) -> None:
    token = authority.invite(NOW, HOUR)
    pem = certs.cert_pem(authority.ca)
    assert same_ca(pem, token.ca_fingerprint) == authority.ca
    with pytest.raises(NotTrusted, match="not the master of this invitation"):
        same_ca(token.cert, token.ca_fingerprint)


# -- files -----------------------------------------------------------------------------------


def test_every_file_is_private(authority: Authority, place: TrustFiles) -> None:
    authority.invite(NOW, HOUR)
    found = list(place.private.iterdir())
    assert place.ca_key in found and place.members in found
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_key_that_others_can_read_is_refused(authority: Authority, place: TrustFiles) -> None:
    place.ca_key.chmod(0o640)
    with pytest.raises(NotTrusted, match="can be read by others"):
        Authority(place, LIFE)


def test_a_full_disk(
    authority: Authority, place: TrustFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written did not happen: an error now, no surprise after a restart."""

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    shown = der(authority.invite(NOW, HOUR).cert)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GlunixError, match="No space left"):
        authority.enrol(shown, request(), "node1", None, NOW)
    with pytest.raises(GlunixError, match="No space left"):
        authority.invite(NOW, HOUR)
    monkeypatch.undo()
    assert authority.members() == []
    assert not [path for path in place.private.iterdir() if path.name.startswith(".")]
    authority.enrol(shown, request(), "node1", None, NOW)


def test_a_damaged_book(authority: Authority, place: TrustFiles) -> None:
    for text in (b"{", b"[]", b'{"members": [{"nme": 1}], "revoked": {}, "invites": {}}'):
        write_private(place.members, text)
        with pytest.raises(NotTrusted, match="damaged"):
            Authority(place, LIFE)


def test_a_second_init(authority: Authority, place: TrustFiles) -> None:
    before = read_private(place.ca_key)
    with pytest.raises(Refused, match="cluster already"):
        new_cluster(place, LIFE, NOW, b"x" * 32)
    assert files.read_private(place.ca_key) == before
