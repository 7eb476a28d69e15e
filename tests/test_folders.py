"""Files that are kept: whole or not at all, and for one user alone."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgerun.cli import main
from edgerun.engines.caches import cache_directory
from edgerun.errors import ConfigError, ModelError
from edgerun.folders import write_whole
from edgerun.models import resolve
from edgerun.notes import Notes
from edgerun.runtime import early, places
from edgerun.runtime.places import made_state_dir

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("lasting", [False, True])
def test_a_file_is_for_its_user_alone_and_nothing_else_is_left(tmp_path: Path, lasting: bool) -> None:
    place = tmp_path / "kept"
    for content in (b"first", b"second"):
        write_whole(place, content, lasting=lasting)
        assert place.read_bytes() == content
    assert place.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [place]


def test_a_disk_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "kept"
    place.write_bytes(b"before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(place, b"after", lasting=True)
    assert place.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [place]


def test_a_tilde_in_a_configured_folder_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert made_state_dir("~/state") == tmp_path / "state"
    assert cache_directory(Path("~/cache"), "onnx") == tmp_path / "cache"
    assert {path.name for path in tmp_path.iterdir()} == {"state", "cache"}


def test_a_user_without_a_home_is_told_and_nothing_called_tilde_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number for a user, as containers have it: ``rm -r ~`` is no way to get rid of such a folder."""
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "STATE_DIRECTORY", "CACHE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", str)  # what it comes to for a user whom nobody knows
    monkeypatch.chdir(tmp_path)
    Notes("engines.json").put("a", 1)
    with pytest.raises(ConfigError, match="no home folder for lasting state: set `state_dir`"):
        made_state_dir("")
    with pytest.raises(OSError, match="/dev/null"):
        cache_directory(None, "onnx")
    with pytest.raises(ConfigError, match=r"no home folder for ~/state: set another `state_dir`"):
        made_state_dir("~/state")
    with pytest.raises(OSError, match="/dev/null"):
        cache_directory(Path("~/cache"), "onnx")
    assert made_state_dir("state") == Path("state")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_disk_that_is_read_only_at_boot_ends_the_daemon_for_good_neither_with_the_folder_nor_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is checked, or its card comes up late: what is there is served meanwhile, as where the disk turns read-only
    later; what is not is tried again."""

    def read_only(*arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match="may not be written") as caught:
        made_state_dir(str(tmp_path))
    assert not caught.value.retriable
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([0] * 8 + [os.ST_RDONLY, 255]))
    assert made_state_dir(str(tmp_path)) == tmp_path
    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(ConfigError, match="cannot be made: Read-only file system") as caught:
        made_state_dir(str(tmp_path / "none"))
    assert caught.value.retriable


def test_state_in_memory_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for in_memory in (False, True):
        monkeypatch.setattr(places, "is_in_memory", lambda folder, told=in_memory: told)
        made_state_dir(str(tmp_path))
        assert ("lost when the power fails" in caplog.text) is in_memory


def closed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that this user may not look into, which root could without this."""

    def of_another_user(of: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            if isinstance(path, str | Path) and folder in Path(path).parents:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return of(path, *arguments, **options)

        return call

    for place, name in ((os, "stat"), (os, "open"), (Path, "stat"), (Path, "open")):  # 3.10 keeps those of ``os``
        monkeypatch.setattr(place, name, of_another_user(getattr(place, name)))
    monkeypatch.setattr(io, "open", of_another_user(open))


def test_a_model_in_a_home_is_told_and_no_reason_to_start_over_and_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose the unit hides from the service. Python's own error would end the daemon with a status that is tried
    again."""
    closed(Path("/home/pi"), monkeypatch)
    for model, labels in (("/home/pi/m.onnx", ""), (str(ROOT / "README.md"), "/home/pi/names.txt")):
        with pytest.raises(ModelError, match="cannot be read: Permission denied; the service sees no home") as caught:
            resolve("", model, labels)
        assert (labels or model) in str(caught.value)


def test_a_configuration_that_may_not_be_looked_at_is_told_as_any_bad_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed(tmp_path, monkeypatch)
    begun = early.begin(tmp_path / "edgerun.yaml")
    assert begun.reader is not None
    begun.reader.communicate()


def test_models_of_the_service_are_passed_over_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGERUN_MODELS", str(tmp_path))
    closed(tmp_path, monkeypatch)
    assert main(["models", "verify"]) == 0
    assert "not here" in capsys.readouterr().out
