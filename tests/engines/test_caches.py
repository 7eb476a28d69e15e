"""Where compiled models are kept, and how many of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgerun.engines.caches import cache_directory


@pytest.mark.parametrize("configured", [False, True])
def test_the_oldest_go_from_edgeruns_own_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: bool
) -> None:
    """Each model that was ever served left megabytes there. What is in a folder of the user's is the user's."""
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    folder = tmp_path / "tensorrt"
    chosen = folder if configured else None
    assert cache_directory(chosen, "tensorrt") == folder
    for number in reversed(range(20)):
        file = folder / f"{number}.engine"
        file.touch()
        os.truncate(file, 100 << 20)  # without taking so much
        os.utime(file, (0, 1e9 + number))
    cache_directory(chosen, "tensorrt")
    left = sorted(int(file.stem) for file in folder.iterdir())
    assert left == (list(range(20)) if configured else list(range(10, 20)))


def test_the_newest_stays_however_large_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be compiled anew at each start, which may take minutes."""
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    folder = cache_directory(None, "tensorrt")
    for number, name in enumerate(["old", "new"]):
        (folder / name).touch()
        os.truncate(folder / name, 2 << 30)
        os.utime(folder / name, (0, 1e9 + number))
    cache_directory(None, "tensorrt")
    assert [file.name for file in folder.iterdir()] == ["new"]
