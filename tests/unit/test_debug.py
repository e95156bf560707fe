"""The story of a thing: its last events, and no more memory than promised."""

from glunix.debug import IllegalTransition, Story


def test_the_last_lines_in_order() -> None:
    story = Story(lines=3)
    for number in range(5):
        story.note("job 7", float(number), f"event {number}")
    assert story.story("job 7") == ("job 7:\n  2.000 event 2\n  3.000 event 3\n  4.000 event 4")


def test_several_keys_and_unknown_ones() -> None:
    story = Story()
    story.note("node node1", 1.5, "hello")
    assert story.story("node node1", "job 9") == (
        "node node1:\n  1.500 hello\njob 9:\n  nothing known"
    )
    story.forget("node node1")
    story.forget("node node1")
    assert "hello" not in story.story("node node1")


def test_bounded_by_the_keys_used_last() -> None:
    story = Story(keys=2)
    for key in ("a", "b", "a", "c"):
        story.note(key, 0.0, f"about {key}")
    assert story.story("b") == "b:\n  nothing known"
    assert "about a" in story.story("a")
    assert "about c" in story.story("c")


def test_a_bug_carries_its_story() -> None:
    story = Story()
    story.note("job 7", 0.0, "placed")
    text = str(IllegalTransition("job 7 cannot", story.story("job 7")))
    assert text == "job 7 cannot\njob 7:\n  0.000 placed"
    assert str(IllegalTransition("plain")) == "plain"
