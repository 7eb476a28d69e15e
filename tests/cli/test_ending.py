"""Commands that are told to end, or cannot write: quiet or a sentence, the exit status that shells expect, and nothing
left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import edgerun
from tests.daemon_process import wait_for
from tests.test_config import CAMERA

SIGNALLED = """
import importlib.abc, os, signal, sys

class Signal(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), int(sys.argv[2]))
            sys.meta_path.remove(self)

sys.meta_path.insert(0, Signal())
from edgerun.cli import main
sys.exit(main(sys.argv[3:]))
"""
"""edgerun, that gets a signal when a module of its own is imported."""


def signalled(number: signal.Signals, module: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SIGNALLED, module, str(int(number)), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", ["edgerun.cli.run", "edgerun.runtime.early", "edgerun.runtime.daemon"])
def test_the_daemon_is_stopped_while_it_starts(tmp_path: Path, number: signal.Signals, module: str) -> None:
    """Status 0, as at any other time."""
    (path := tmp_path / "a.yaml").write_text(CAMERA)
    done = signalled(number, module, "run", "-c", str(path))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reload_asked_for_while_the_daemon_starts() -> None:
    """Does not end it."""
    done = signalled(signal.SIGHUP, "edgerun.runtime.early", "run", "-c", "/nowhere.yaml")
    assert done.returncode == 78


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("edgerun.pipeline", ["detect", "a.jpg"]),
        ("edgerun.recording", ["replay", "--camera", "porch", "--video", "a.mp4"]),
        ("edgerun.devices", ["devices"]),
        ("edgerun.cli.demo", ["demo"]),
        ("paho.mqtt.client", ["demo"]),
    ],
)
def test_ctrl_c_at_the_start_of_a_command(module: str, words: list[str]) -> None:
    """Nothing is said, and the shell is told that it was Ctrl-C."""
    done = signalled(signal.SIGINT, module, *words)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert signalled(signal.SIGTERM, module, *words).returncode == 143


def test_ctrl_c_while_a_library_is_imported(tmp_path: Path) -> None:
    """Some make an error of their own of it, as numpy may: it is Ctrl-C all the same."""
    (tmp_path / "cv2.py").write_text(
        "import os, signal\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "except BaseException as error:\n    raise ImportError('cannot be imported') from None\n"
    )
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = edgerun("detect", "a.jpg", env=environ)
    assert (done.returncode, done.stderr) == (130, "")


LOST = """
import os, signal, sys

def end_me():
    os.kill(os.getpid(), int(sys.argv[1]))
    for _ in range(1000):
        pass

os.register_at_fork(after_in_parent=end_me)
from edgerun.cli import main
sys.exit(main(["demo"]))
"""
"""The demo, that gets a signal in the middle of the fork of its daemon, where Python drops whatever is raised."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_demo_is_told_to_end_while_it_starts_its_daemon(tmp_path: Path, number: signal.Signals) -> None:
    """It ends, though no second signal would be heeded."""
    command = [sys.executable, "-c", LOST, str(int(number))]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environ)
    assert done.returncode == 128 + number
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    wait_for(lambda: not daemons_of(tmp_path), 30)


def demo(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgerun", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline(), "nothing was printed"
    return process


def daemons_of(folder: Path) -> list[int]:
    """The processes that run on a configuration below ``folder``."""
    table = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in table.splitlines() if f"{folder}/edgerun-demo" in line]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_demo_is_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    """By ``timeout`` or Ctrl-C: it takes its daemon and its files with it, whatever their folder is called."""
    (folder := tmp_path / "my #1, {2} ${3}").mkdir()
    with demo(folder) as process:
        assert daemons_of(folder)
        os.killpg(process.pid, number)  # as `timeout` and a terminal do
        _, log = process.communicate()
    assert "ERROR" not in log
    assert "frames of detections" in log
    assert not daemons_of(folder)
    assert list(tmp_path.rglob("*")) == [folder]


def test_the_demo_is_killed(tmp_path: Path) -> None:
    """Its daemon ends all the same."""
    with demo(tmp_path) as process:
        assert daemons_of(tmp_path)
        process.kill()
        process.communicate()
    wait_for(lambda: not daemons_of(tmp_path), 30)


@pytest.mark.parametrize("words", [["check", "{}"], ["check", "{}", "--json"], ["schema"], ["models"], ["--version"]])
def test_a_full_disk(tmp_path: Path, words: list[str]) -> None:
    """A sentence, and no success."""
    (path := tmp_path / "a.yaml").write_text(CAMERA)
    for buffered in ("", "1"):
        environ = {**os.environ, "PYTHONUNBUFFERED": buffered}
        with Path("/dev/full").open("w") as full:
            done = edgerun(*(word.format(path) for word in words), stdout=full, env=environ)
        assert (done.returncode, done.stderr) == (1, "edgerun: No space left on device\n")


def test_a_reader_that_has_seen_enough() -> None:
    """As ``head`` does: no complaint."""
    reader, writer = os.pipe()
    os.close(reader)
    done = edgerun("schema", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_from_the_start(tmp_path: Path, closed: str) -> None:
    """Is as good as /dev/null, and no file that is opened takes its number: what libraries print would get there."""
    (path := tmp_path / "a.yaml").write_text(CAMERA)
    opening = "import os; from edgerun.cli.ending import ended; os._exit(ended(lambda: os.open('/', os.O_RDONLY) < 3))"
    for words in (["-m", "edgerun", "check", str(path)], ["-c", opening]):
        done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, *words], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


def test_an_output_without_these_characters(tmp_path: Path) -> None:
    """They are escaped: as text, and as JSON that is read back as it was."""
    (path := tmp_path / "a.yaml").write_text(CAMERA + "    fsp€😀: 1\n")
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for more in ([], ["--json"]):
        done = edgerun("check", path, *more, env=environ)
        assert (done.returncode, done.stderr) == (78, "")
        assert "fsp\\u20ac\\ud83d\\ude00" in done.stdout
    assert json.loads(done.stdout)["problems"][0]["path"] == "cameras.porch.fsp€😀"
