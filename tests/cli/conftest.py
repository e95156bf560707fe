"""Fixtures of the tools' tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakedaemon import FakeDaemon


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder that the tools will use."""
    monkeypatch.setenv("GLUNIX_DIR", str(tmp_path))
    monkeypatch.delenv("GLUNIX_NODE", raising=False)
    monkeypatch.delenv("GLUNIX_EXIT_ERROR", raising=False)
    return tmp_path


@pytest.fixture
def daemon(folder: Path) -> Iterator[FakeDaemon]:
    """A fake daemon in that folder."""
    fake = FakeDaemon(folder)
    yield fake
    fake.close()
