"""Whoever was revoked gets in with nothing: old certificates, odd clocks, names, invitations.

The attack's success is the failure. No socket here; links that stand are in test_revoked_links.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glunix.errors import GlunixError, Refused
from glunix.trust import certs
from glunix.trust.authority import RENEWALS, RENEWALS_EACH, Authority, new_cluster
from glunix.trust.files import TrustFiles, write_private
from glunix.trust.member import Member
from glunix.trust.peer import NotTrusted
from glunix.trust.revocation import Revocations, issued_at

NOW = 1_800_000_000.0
LIFE = 90 * 86400.0
HOUR = 3600.0
YEAR = 365 * 86400.0


def place(folder: Path) -> TrustFiles:
    private = folder / "private"
    private.mkdir(mode=0o700, parents=True)
    return TrustFiles(private)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return new_cluster(place(tmp_path / "master"), LIFE, NOW, b"n" * 32)


class Machine:
    """A machine that keeps every certificate it ever had."""

    def __init__(self, authority: Authority, name: str, now: float) -> None:
        self.authority, self.name = authority, name
        self.key = certs.new_key()
        token = authority.invite(now, HOUR)
        papers = authority.enrol(self._der(token.cert), self._request(), name, None, now)
        self.shown = [self._der(papers.node_cert)]
        self.listens = [self._der(papers.listen_cert)]
        self.peer = authority.peer(self.shown[0])

    def _der(self, pem: bytes) -> bytes:
        return certs.cert_der(certs.load_cert(pem))

    def _request(self) -> bytes:
        return certs.new_request(self.key)

    def renew(self, now: float) -> None:
        papers = self.authority.renew(self.peer, self._request(), now)
        self.shown.append(self._der(papers.node_cert))
        self.listens.append(self._der(papers.listen_cert))


def bystander(authority: Authority, folder: Path, now: float = NOW) -> Member:
    """The daemon of another member, which has to know a revoked one when it sees it."""
    files = place(folder)
    key = certs.new_key()
    papers = authority.admit(certs.new_request(key), folder.name, now)
    write_private(files.ca_cert, certs.cert_pem(authority.ca))
    write_private(files.names_key, authority.names_key)
    write_private(files.node_key, certs.key_pem(key))
    write_private(files.node_cert, papers.node_cert)
    write_private(files.listen_cert, papers.listen_cert)
    return Member(files)


def gets_in(authority: Authority, member: Member, machine: Machine) -> list[str]:
    """Where some certificate of the machine is still good for something."""
    found = []
    for number, (shown, listens) in enumerate(zip(machine.shown, machine.listens, strict=True)):
        for what, ask in (
            ("master", lambda shown=shown: authority.peer(shown)),
            ("daemon", lambda shown=shown: member.peer(shown)),
            ("dialled", lambda listens=listens: member.is_node(listens, machine.name)),
        ):
            try:
                ask()
            except NotTrusted:
                continue
            found.append(f"{what}: certificate {number}")
    return found


def test_superseded_by_renewals(authority: Authority, tmp_path: Path) -> None:
    """Two renewals, then `revoke`: the first certificate ran jobs."""
    member = bystander(authority, tmp_path / "node1")
    bad = Machine(authority, "node2", NOW)
    bad.renew(NOW + 1)
    bad.renew(NOW + 2)
    assert len(gets_in(authority, member, bad)) == 9  # what was seen to be good is taken away
    authority.revoke("node2", NOW + 3)
    member.now_revoked(authority.revocations())
    assert gets_in(authority, member, bad) == []
    again = Authority(TrustFiles(tmp_path / "master" / "private"), LIFE)
    assert gets_in(again, Member(TrustFiles(tmp_path / "node1" / "private")), bad) == []


def test_the_name_comes_back(authority: Authority, tmp_path: Path) -> None:
    """A machine that joins under the name works, within the same second; the old one does not."""
    member = bystander(authority, tmp_path / "node1")
    bad = Machine(authority, "node2", NOW)
    for _ in range(3):
        authority.revoke("node2", NOW)
        good = Machine(authority, "node2", NOW)
        member.now_revoked(authority.revocations())
        assert gets_in(authority, member, bad) == []
        assert len(gets_in(authority, member, good)) == 3
        bad = good


@pytest.mark.parametrize("ahead", [YEAR, HOUR, -HOUR, -YEAR / 36])
def test_the_masters_clock_jumps(authority: Authority, tmp_path: Path, ahead: float) -> None:
    """Issued while the clock was wrong, revoked when it was right, joined again later."""
    member = bystander(authority, tmp_path / "node1")
    bad = Machine(authority, "node2", NOW + ahead)
    bad.renew(NOW + ahead)
    authority.revoke("node2", NOW)
    good = Machine(authority, "node2", NOW - 60)
    member.now_revoked(authority.revocations())
    assert gets_in(authority, member, bad) == []
    assert len(gets_in(authority, member, good)) == 3
    # The clock is put ahead for a moment, which forgets what has expired by then.
    authority.forget_expired(NOW + LIFE + HOUR)
    member.now_revoked(authority.revocations())
    assert gets_in(authority, member, bad) == []


def test_a_revoked_node_renews(authority: Authority, tmp_path: Path) -> None:
    """On a link that is about to be cut: no certificate, and no member by the back door."""
    bad = Machine(authority, "node2", NOW)
    authority.revoke("node2", NOW)
    with pytest.raises(NotTrusted, match="revoked"):
        bad.renew(NOW)
    assert authority.members() == []
    Machine(authority, "node2", NOW)  # nor beside the machine that has the name now
    with pytest.raises(NotTrusted, match="revoked"):
        bad.renew(NOW)


def test_names_that_differ_by_case(authority: Authority, tmp_path: Path) -> None:
    member = bystander(authority, tmp_path / "node1")
    bad = Machine(authority, "Node2", NOW)
    for name in ("node2", "NODE2", "MASTER", "Node1"):
        with pytest.raises(Refused, match=r"member already|can be called"):
            Machine(authority, name, NOW)
    assert authority.revoke("node2", NOW) == "Node2"
    member.now_revoked(authority.revocations())
    assert gets_in(authority, member, bad) == []
    good = Machine(authority, "node2", NOW)
    assert len(gets_in(authority, member, good)) == 3


def test_an_invitation_for_the_revoked_name(authority: Authority) -> None:
    token = authority.invite(NOW, HOUR, "node2")
    other = authority.invite(NOW, HOUR)
    shown, rest = (certs.cert_der(certs.load_cert(one.cert)) for one in (token, other))
    Machine(authority, "node2", NOW)
    authority.revoke("Node2", NOW)
    request = certs.new_request(certs.new_key())
    with pytest.raises(Refused, match="used or has expired"):
        authority.enrol(shown, request, "node2", None, NOW)
    assert token.cert not in authority.trusted()
    assert authority.invitations() == 1  # which `glunix revoke` tells of
    authority.enrol(rest, request, "node3", None, NOW)


def test_an_invitation_does_not_live_longer_when_the_clock_is_set_back(
    authority: Authority,
) -> None:
    token = authority.invite(NOW, HOUR)
    shown = certs.cert_der(certs.load_cert(token.cert))
    for now in (NOW + HOUR, NOW - YEAR):
        with pytest.raises(GlunixError, match="expired"):
            authority.enrol(shown, certs.new_request(certs.new_key()), "node2", None, now)


def test_the_books_do_not_grow_by_renewals(authority: Authority) -> None:
    """A member that asks without end: refused, and what was issued stays in the books."""
    bad = Machine(authority, "node2", NOW)
    refused = 0
    for step in range(400):
        try:
            bad.renew(NOW + step * LIFE / 400)
        except Refused:  # it asks too often
            refused += 1
    (row,) = authority.members()
    assert refused and len(row.serials) == 2 * len(bad.shown)
    assert len(bad.shown) <= RENEWALS + RENEWALS_EACH + 1
    bad.renew(NOW + 2 * LIFE)  # the old have expired
    assert len(row.serials) < 10


def test_the_masters_certificate_when_its_clock_is_set_back(
    authority: Authority, tmp_path: Path
) -> None:
    path = TrustFiles(tmp_path / "master" / "private").master_cert
    authority.own_listener(NOW + YEAR)
    authority.own_listener(NOW)
    assert certs.begins(certs.load_cert(path.read_bytes())) <= NOW


# -- the books of earlier versions -----------------------------------------------------------


def test_books_without_times(authority: Authority, tmp_path: Path) -> None:
    """Serials of 159 random bits, serials as lists: revoked by name, and the name comes back."""
    files = TrustFiles(tmp_path / "master" / "private")
    bad = Machine(authority, "node2", NOW)
    old = "7" * 40
    book = json.loads(files.members.read_bytes())
    (row,) = book["members"]
    row["serials"] = [*row["serials"], old]
    del row["renewed"], book["nodes"], book["clock"]
    write_private(files.members, json.dumps(book).encode())
    again = Authority(files, LIFE)
    again.peer(bad.shown[0])
    again.revoke("node2", NOW + 1)
    assert issued_at(old) == 0
    assert again.revocations().covers("node2", old)
    good = Machine(again, "node2", NOW + 2)
    assert not again.revocations().covers("node2", good.peer.serial)
    assert not Revocations().covers("node2", old)


def test_a_list_of_serials_on_a_member(authority: Authority, tmp_path: Path) -> None:
    member = bystander(authority, tmp_path / "node1")
    files = TrustFiles(tmp_path / "node1" / "private")
    bad = Machine(authority, "node2", NOW)
    write_private(files.revoked, json.dumps([bad.peer.serial]).encode())
    with pytest.raises(NotTrusted, match="revoked"):
        Member(files).peer(bad.shown[0])
    for text in (b"{", b"{}", b'{"serials": [], "before": {"x": "y"}}', b'{"before": []}'):
        write_private(files.revoked, text)
        with pytest.raises(NotTrusted, match="damaged"):
            Member(files)
    assert member.peer(bad.shown[0])
