"""glunix.toml: written, read back, and wrong in every way."""

from pathlib import Path

import pytest

from glunix import settings
from glunix.settings import ClusterSection, DaemonSection, MasterSection, Settings, SettingsError

GOOD = Settings(ClusterSection("c", "m:7117"), DaemonSection("node1"), MasterSection())


def written(folder: Path, text: str) -> Path:
    settings.path_of(folder).write_text(text)
    return folder


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    odd = Settings(
        ClusterSection('a"b\\c\nd', "[::1]:7117"), DaemonSection("node1"), state="/run/é"
    )
    for conf in (GOOD, odd):
        assert settings.read(written(tmp_path, settings.render(conf))) == conf


def test_every_knob_is_documented_and_written() -> None:
    text = settings.render(GOOD)
    for kind in [*settings.SECTIONS.values(), Settings]:
        for name, what, _ in settings.knobs(kind):
            if name in settings.SECTIONS:
                continue
            assert what, f"{kind.__name__}.{name} has no description"
            assert f"\n{name} = " in text and what in text


def test_every_knob_is_in_the_manual() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
    for section, kind in settings.SECTIONS.items():
        for name, what, _ in settings.knobs(kind):
            assert f"| `{section}.{name}` | {what} |" in manual.replace("\\|", "|")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[daemon]", "[daemon]\nnodee = 1"), "line {}: unknown key 'nodee' in [daemon]"),
        (("[daemon]", "[deamon]\nx = 1\n[daemon]"), "line {}: unknown key 'deamon'"),
        (("state = ", "nodee = 1\nstate = "), "line {}: unknown key 'nodee'"),
        (('node = "node1"', "node = 7"), "line {}: daemon.node: Expected `str`, got `int`"),
        (("heartbeat = 2.0", "heartbeat = -1"), "line {}: master.heartbeat: Expected"),
        (("requests = 2000", "requests = 0"), "line {}: limits.requests: Expected `int` >= 1"),
        (('listen = "0.0.0.0:7118"', 'listen = "here"x'), "at line {}, column "),
        (('listen = "0.0.0.0:7118"', 'listen = "a:b"'), "line {}: daemon.listen: not an address"),
        (('advertise = ""', 'advertise = "x:0"'), "line {}: daemon.advertise: not an address"),
        (('master = "m:7117"', 'master = "m:"'), "line {}: cluster.master: not an address"),
        (('node = "node1"', 'node = "a b"'), "line {}: daemon.node: not a node name: 'a b'"),
        (("[cluster]", "[cluster"), "at line {}, column "),
    ],
)
def test_mistakes_are_named_with_their_line(
    tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    text = settings.render(GOOD)
    assert text.count(change[0]) >= 1
    wrong = text.replace(*change, 1)
    pairs = zip(text.splitlines(), wrong.splitlines(), strict=False)
    number = next(n for n, (old, new) in enumerate(pairs, 1) if old != new)
    with pytest.raises(SettingsError) as error:
        settings.read(written(tmp_path, wrong))
    assert words.format(number) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    text = settings.render(GOOD).replace('node = "node1"', "")
    with pytest.raises(SettingsError, match=r"line \d+: missing key 'node' in \[daemon\]"):
        settings.read(written(tmp_path, text))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        settings.read(tmp_path)


def test_mapping(tmp_path: Path) -> None:
    path = tmp_path / "users.toml"
    path.write_text("[alice]\ndefault = 1000\nnode2 = 5\n")
    assert settings.read_users(str(path)) == {"alice": {"default": 1000, "node2": 5}}
    assert settings.read_users("") == {}
    path.write_text('[alice]\ndefault = "x"\n')
    with pytest.raises(SettingsError, match=r"users\.toml"):
        settings.read_users(str(path))
