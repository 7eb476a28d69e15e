from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from edgerun.models import checksums
from edgerun.models.checksums import known_sha256_of, sha256_of


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))


def a_settled(path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as it looks some time after it was written."""
    path.write_bytes(content)
    now = time.time_ns() + checksums._SETTLED_NS
    monkeypatch.setattr(time, "time_ns", lambda: now)
    return path


def test_the_checksum_is_that_of_the_contents_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 300_000)
    (tmp_path / "b").write_bytes(b"y")
    wanted = hashlib.sha256(b"x" * 300_000 + b"y").hexdigest()
    assert sha256_of(tmp_path / "a", tmp_path / "b") == wanted
    assert known_sha256_of(tmp_path / "a", tmp_path / "b") == wanted


def test_a_file_that_stays_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = a_settled(tmp_path / "model", b"one", monkeypatch)
    first = known_sha256_of(model)
    monkeypatch.setattr(checksums, "sha256_of", lambda *_: pytest.fail("it was read again"))
    assert known_sha256_of(model) == first


def test_other_contents_are_noticed_whatever_their_time_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = a_settled(tmp_path / "model", b"one", monkeypatch)
    known_sha256_of(model)
    before = model.stat()
    time.sleep(0.02)  # more than the kernel's clock ticks
    model.write_bytes(b"two")
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert known_sha256_of(model) == hashlib.sha256(b"two").hexdigest()


def test_a_file_that_was_just_written_is_not_trusted_to_stay(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"one")
    known_sha256_of(tmp_path / "model")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("kept", ["", "[]", '{"a": 1}', "null"])
def test_what_was_kept_may_be_damaged(kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = a_settled(tmp_path / "model", b"one", monkeypatch)
    known_sha256_of(model)
    (notes,) = (tmp_path / "cache").rglob("checksums.json")
    notes.write_text(kept.replace('"a"', f'"{model}"'))
    assert known_sha256_of(model) == hashlib.sha256(b"one").hexdigest()
