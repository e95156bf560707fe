"""Who is who on which node, and who may run jobs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glunix.errors import Refused
from glunix.users import DEFAULT, Users, table_fault

MAPPED = Users(table={"alice": {DEFAULT: 1000, "node2": 20001}, "bob": {DEFAULT: 1001}})


def test_without_a_mapping_uids_are_the_same() -> None:
    users = Users()
    assert users.canonical("node1", 1234) == 1234
    assert users.on_node(1234, "node2") == 1234


def test_a_mapped_user() -> None:
    assert MAPPED.canonical("node1", 1000) == 1000
    assert MAPPED.canonical("node2", 20001) == 1000
    assert MAPPED.on_node(1000, "node2") == 20001
    assert MAPPED.on_node(1000, "node3") == 1000
    assert MAPPED.on_node(1001, "node2") == 1001


def test_nobody_becomes_another_person() -> None:
    with pytest.raises(Refused, match="uid 1000 of node2 is not the alice"):
        MAPPED.canonical("node2", 1000)
    with pytest.raises(Refused, match="uid 20001 is alice on node2"):
        MAPPED.on_node(20001, "node2")


def test_root() -> None:
    with pytest.raises(Refused, match="root may not run jobs"):
        MAPPED.may_run("node1", 0)
    assert Users(allow_root=True).may_run("node1", 0) == 0
    assert MAPPED.may_run("node1", 1001) == 1001
    assert MAPPED.canonical("node1", 0) == 0  # to look and to signal, root is root


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"a": {"node1": 5}}, "no `default`"),
        ({"a": {DEFAULT: 5, "node1": 0}}, "mapped to root"),
        ({"a": {DEFAULT: 5}, "b": {DEFAULT: 5}}, "same default"),
        ({"a": {DEFAULT: 5}, "b": {DEFAULT: 6, "node1": 5}}, "same uid on node1"),
    ],
)
def test_tables_that_are_refused(table: dict[str, dict[str, int]], fault: str) -> None:
    assert fault in table_fault(table)
    with pytest.raises(ValueError, match=fault):
        Users(table=table)


NODES = ("n1", "n2", "n3")
UIDS = st.integers(1, 6)
ROWS = st.fixed_dictionaries({DEFAULT: UIDS}, optional=dict.fromkeys(NODES, UIDS))


@given(st.dictionaries(st.sampled_from("abc"), ROWS))
def test_no_two_people_share_a_process(table: dict[str, dict[str, int]]) -> None:
    """Whatever the table: two different uids of one node never meet in one, anywhere."""
    if table_fault(table):
        return
    users = Users(table=table)
    for here in NODES:
        for there in NODES:
            seen: dict[int, int] = {}
            for uid in range(1, 8):
                try:
                    arrived = users.on_node(users.canonical(here, uid), there)
                except Refused:
                    continue
                assert seen.setdefault(arrived, uid) == uid
                assert users.canonical(there, arrived) == users.canonical(here, uid)
