"""The bundle of somebody whose configuration is wrong, or whose daemon is not running: the case it is for."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from edgerun.cli import main

GOOD = """\
mqtt: {username: pi, password: "canary one"}
metrics:
  token: >-
    canary two
cameras:
  porch:
    source: {type: rtsp, url: "rtsp://viewer:canary%203@10.0.0.5/x"}
  yard:
    source: {type: http, url: "http://10.0.0.6/video?user=a&password=canary-4"}
"""


def bundle(tmp_path: Path, text: str) -> dict[str, str]:
    (config := tmp_path / "edgerun.yaml").write_text(text)
    assert main(["health", "-c", str(config), "--bundle", str(tmp_path / "b.tar.gz")]) == 1
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        return {one.name: ((file := archive.extractfile(one)) and file.read().decode()) or "" for one in archive}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "finds nothing wrong"),
        ("tpyo: 1\n", "tpyo: unknown key"),
        ("  password: [\n", "left out, as it cannot be read"),
    ],
    ids=["good", "unknown key", "no YAML"],
)
def test_it_has_the_file_its_problems_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, said: str
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    files = bundle(tmp_path, GOOD + more)
    assert said in files["edgerun/config.yaml"]
    assert "no daemon answers" in files["edgerun/health.json"]
    assert files.keys() == {
        f"edgerun/{name}"
        for name in ("config.yaml", "health.json", "devices.json", "versions.txt", "system.txt", "journal.txt")
    }
    if said.startswith("left"):
        assert "rtsp" not in files["edgerun/config.yaml"]
    else:
        assert "username: pi" in files["edgerun/config.yaml"]
    assert "canary" not in str(files).replace(str(tmp_path), "")


def test_a_file_that_is_written_over_is_for_its_owner_alone_too(tmp_path: Path) -> None:
    (old := tmp_path / "b.tar.gz").write_text("")
    old.chmod(0o644)
    bundle(tmp_path, GOOD)
    assert old.stat().st_mode & 0o777 == 0o600
