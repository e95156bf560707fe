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
        (("[daemon]", "[daemon]\nnodee = 1"), "unknown key 'nodee' in [daemon]"),
        (("[daemon]", "[deamon]\nx = 1\n[daemon]"), "unknown key 'deamon'"),
        (('node = "node1"', "node = 7"), "daemon.node: Expected `str`, got `int`"),
        (("heartbeat = 2.0", "heartbeat = -1"), "master.heartbeat: Expected"),
        (("[cluster]", "[cluster"), "glunix.toml"),
        (('node = "node1"', ""), "missing required field `node`"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    text = settings.render(GOOD)
    assert change[0] in text
    with pytest.raises(SettingsError) as error:
        settings.read(written(tmp_path, text.replace(*change, 1)))
    assert words in str(error.value) and "\n" not in str(error.value)


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
