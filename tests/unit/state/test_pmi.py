"""glunix.state.pmi: PMI-1 as MPICH speaks it, and what no rank may say."""

import pytest

from glunix.state.pmi import (
    KEYS_MAX,
    LINE_MAX,
    Abort,
    Fence,
    ProtocolFault,
    Rank,
    Say,
    fields_of,
    process_mapping,
)


@pytest.mark.parametrize(
    ("nodes", "mapping"),
    [
        (["a"], "(vector,(0,1,1))"),
        (["a", "a", "a"], "(vector,(0,1,3))"),
        (["a", "b", "c"], "(vector,(0,3,1))"),
        (["a", "a", "b", "b"], "(vector,(0,2,2))"),
        (["a", "b", "a", "b"], "(vector,(0,2,1),(0,2,1))"),
        (["a", "a", "b"], "(vector,(0,1,2),(1,1,1))"),
    ],
)
def test_ranks_learn_which_of_them_share_a_node(nodes: list[str], mapping: str) -> None:
    assert process_mapping(nodes) == mapping


def test_a_value_may_hold_blanks_and_equal_signs() -> None:
    found = fields_of("cmd=put kvsname=k key=a value=b c=d")
    assert found == {"cmd": "put", "kvsname": "k", "key": "a", "value": "b c=d"}


def rank(space: dict[str, str] | None = None) -> Rank:
    return Rank("7", 1, ["a", "b"], {} if space is None else space)


def said(who: Rank, line: str) -> str:
    (wish,) = who.received(f"{line}\n".encode())
    assert isinstance(wish, Say)
    return wish.line


def test_a_rank_begins_and_ends() -> None:
    who = rank()
    assert said(who, "cmd=init pmi_version=1 pmi_subversion=1").endswith("rc=0")
    assert who.has_begun
    assert not who.has_finished
    assert "keylen_max=64" in said(who, "cmd=get_maxes")
    assert said(who, "cmd=get_universe_size") == "cmd=universe_size size=2 rc=0"
    assert said(who, "cmd=get_my_kvsname") == "cmd=my_kvsname kvsname=kvs_7 rc=0"
    assert said(who, "cmd=finalize") == "cmd=finalize_ack rc=0"
    assert who.has_finished


def test_what_is_put_is_seen_by_the_others_after_a_fence() -> None:
    space: dict[str, str] = {}
    one, two = rank(space), rank(space)
    assert "rc=0" in said(one, "cmd=put kvsname=kvs_7 key=addr value=1.2.3.4 5")
    assert said(one, "cmd=get kvsname=kvs_7 key=addr").endswith("value=1.2.3.4 5")
    assert "rc=-1" in said(two, "cmd=get kvsname=kvs_7 key=addr")
    (fence,) = one.received(b"cmd=barrier_in\n")
    assert fence == Fence({"addr": "1.2.3.4 5"})
    space.update(fence.puts)
    assert one.released() == [Say("cmd=barrier_out rc=0")]
    assert said(two, "cmd=get kvsname=kvs_7 key=addr").endswith("value=1.2.3.4 5")
    assert one.received(b"cmd=barrier_in\n") == [Fence({})]


def test_another_jobs_space_is_not_there() -> None:
    who = rank({"secret": "x"})
    assert "rc=-1" in said(who, "cmd=get kvsname=kvs_8 key=secret")
    assert "rc=-1" in said(who, "cmd=put kvsname=kvs_8 key=a value=b")


@pytest.mark.parametrize(
    "line",
    [
        "cmd=put kvsname=kvs_7 key= value=b",
        f"cmd=put kvsname=kvs_7 key={'k' * 64} value=b",
        f"cmd=put kvsname=kvs_7 key=k value={'v' * 1024}",
        "cmd=put kvsname=kvs_7 key=known value=other",
        "cmd=put kvsname=kvs_7 key=PMI_process_mapping value=mine",
    ],
)
def test_what_cannot_be_put_is_refused(line: str) -> None:
    assert "rc=-1" in said(rank({"known": "x"}), line)


def test_a_rank_cannot_fill_the_daemon() -> None:
    who = rank()
    for number in range(KEYS_MAX):
        assert "rc=0" in said(who, f"cmd=put kvsname=kvs_7 key=k{number} value=v")
    assert "too_many_keys" in said(who, "cmd=put kvsname=kvs_7 key=more value=v")


@pytest.mark.parametrize(
    ("code", "status"), [("3", 3), ("0", 1), ("-1", 255), ("256", 1), ("x", 1), ("", 1)]
)
def test_abort_has_a_status_that_is_no_success(code: str, status: int) -> None:
    assert rank().received(f"cmd=abort exitcode={code}\n".encode()) == [Abort(status)]


def test_spawn_is_refused_clearly() -> None:
    who = rank()
    words = b"nprocs=1\nexecname=./a.out\ntotspawns=2\nspawnssofar=%d\narg1=a b\nendcmd\n"
    assert who.received(b"mcmd=spawn\n" + words % 1) == []
    (wish,) = who.received(b"mcmd=spawn\n" + words % 2)
    assert isinstance(wish, Say)
    assert "rc=-1" in wish.line
    assert "appnum=0" in said(who, "cmd=get_appnum")
    with pytest.raises(ProtocolFault):
        who.received(b"mcmd=other\n")


@pytest.mark.parametrize(
    "data",
    [b"hello\n", b"cmd=nonsense\n", b"\xff=\xff\n", b"x" * (LINE_MAX + 1), b"cmd=\n=\n"],
)
def test_what_is_no_pmi_is_a_fault(data: bytes) -> None:
    with pytest.raises(ProtocolFault):
        rank().received(data)


def test_lines_may_come_in_pieces() -> None:
    who = rank()
    assert who.received(b"cmd=get_app") == []
    assert who.received(b"num\ncmd=barrier_in\n") == [Say("cmd=appnum appnum=0 rc=0"), Fence({})]
    with pytest.raises(ProtocolFault):
        who.received(b"cmd=barrier_in\n")
