"""A drop folder to fill with what is hostile, and limits that a bomb of a few megabytes passes."""

from pathlib import Path

import pytest


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "run" / "config").mkdir(parents=True)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "outside.h5").write_bytes(b"secret")
    return tmp_path / "inbox"


@pytest.fixture
def low_limits(monkeypatch) -> None:
    """Limits low enough for bombs that a test can make; their ratios are those of real ones."""
    monkeypatch.setattr("tissuemake.packed.FREE_BYTES", 1 << 20)
    monkeypatch.setattr("tissuemake.packed.FREE_ROWS", 100_000)
    monkeypatch.setattr("tissuemake.pixel_limits.MOST_WHOLE_PIXELS", 100_000_000)
