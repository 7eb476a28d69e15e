"""``edgerun check``: a file is good or every reason why not, with the exit status that says which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import edgerun
from tests.test_config import BAD, CAMERA, CONTRACT


def check(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return edgerun("check", path, *arguments, env={"PATH": "/usr/bin:/bin"})


def test_a_good_file(tmp_path: Path) -> None:
    """Exit 0 and one line."""
    (path := tmp_path / "a.yaml").write_text(CAMERA)
    done = check(path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: ok\n", "")


def test_a_bad_file(tmp_path: Path) -> None:
    """Exit 78 and FILE:LINE: path: what is wrong, and what is allowed."""
    (path := tmp_path / "a.yaml").write_text(CAMERA + "    fps: 0\n    fsp: 1\n")
    done = check(path)
    first, second = done.stdout.splitlines()
    assert done.returncode == 78
    assert first == f"{path}:4: cameras.porch.fps: must be greater than 0, not '0'"
    assert second.startswith(f"{path}:5: cameras.porch.fsp: unknown key; did you mean fps?")
    assert done.stderr == ""


def test_a_laptop_without_the_devices_secrets(tmp_path: Path) -> None:
    """A warning for each on stderr, and still exit 0."""
    (path := tmp_path / "a.yaml").write_text(CONTRACT)
    done = check(path)
    assert (done.returncode, done.stdout) == (0, f"{path}: ok\n")
    assert "the environment variable CAM_PASSWORD is not set" in done.stderr
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("name", ["a b.yaml", "\u20ac.yaml", "\udcff.yaml"])
def test_a_file_of_any_name(tmp_path: Path, name: str) -> None:
    """The last is what another system's encoding leaves on a stick."""
    (path := tmp_path / name).write_text(CAMERA)
    for _ in range(2):
        done = check(path)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("content", [CAMERA, CAMERA + "    fps: 0", CONTRACT])
def test_json_is_all_of_stdout(tmp_path: Path, content: str) -> None:
    """The same for a program."""
    (path := tmp_path / "a.yaml").write_text(content)
    done = check(path, "--json")
    told = json.loads(done.stdout)
    assert told["file"] == str(path)
    assert told["ok"] == (done.returncode == 0)
    assert all(set(problem) == {"line", "path", "message"} for problem in told["problems"] + told["warnings"])


def test_a_catalogue_that_cannot_be_read_is_told_as_all_else(tmp_path: Path) -> None:
    """In JSON, too."""
    (path := tmp_path / "a.yaml").write_text(CAMERA + "model: {name: mine}\n")
    (tmp_path / "catalogue.json").write_text("?")
    environ = {"PATH": "/usr/bin:/bin", "EDGERUN_MODELS": str(tmp_path)}
    said = edgerun("check", path, env=environ).stdout
    assert said.startswith(f"{path}:4: model.name: {tmp_path}/catalogue.json is no model catalogue")
    assert [one["line"] for one in json.loads(edgerun("check", path, "--json", env=environ).stdout)["problems"]] == [4]


@pytest.mark.parametrize("number", range(0, len(BAD), 9))
def test_no_traceback_for_bad_input(tmp_path: Path, number: int) -> None:
    """A sample of the bad files, through the real command."""
    content = BAD[number][0]
    (path := tmp_path / "a.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    done = check(path)
    assert done.returncode == 78
    assert done.stdout.startswith(f"{path}:")
    assert "Traceback" not in done.stdout + done.stderr


def test_it_loads_no_vendor_library(tmp_path: Path) -> None:
    """It works on a laptop with none of them installed."""
    (path := tmp_path / "a.yaml").write_text(CONTRACT)
    program = (
        "import sys\nfrom pathlib import Path\nfrom edgerun.config import problems\n"
        f"problems(Path({str(path)!r}))\n"
        "vendors = {'av', 'ai_edge_litert', 'tflite_runtime', 'onnxruntime', 'openvino', 'paho', 'amqtt', 'rich'}\n"
        "print(vendors & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("content", [CAMERA, CAMERA + "    fps: 0\n"])
def test_from_a_pipe(content: str) -> None:
    """As ``envsubst <template | edgerun check /dev/stdin``: read once, with the same answer at the second time."""
    for _ in range(2):
        done = edgerun("check", "/dev/stdin", input=content)
        expected = "/dev/stdin:4: cameras.porch.fps: must be greater than 0" if "fps" in content else "/dev/stdin: ok"
        assert done.stdout.startswith(expected)


def test_from_a_named_pipe(tmp_path: Path) -> None:
    """As ``edgerun check <(envsubst <template)``."""
    os.mkfifo(pipe := tmp_path / "pipe")
    command = [sys.executable, "-m", "edgerun", "check", str(pipe)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        pipe.write_text(CAMERA)
        assert process.communicate(timeout=60)[0] == f"{pipe}: ok\n"


def test_what_never_ends() -> None:
    """No more is read than what shows that it is too large."""
    done = check(Path("/dev/zero"))
    assert (done.returncode, done.stdout) == (78, "/dev/zero:1: file: is larger than 256 KB\n")


def test_the_daemon_needs_a_plain_file(tmp_path: Path) -> None:
    """Which it can read again."""
    os.mkfifo(pipe := tmp_path / "pipe")
    done = edgerun("run", "-c", pipe)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith(f"edgerun: {pipe} is no plain file")
