"""``edgerun health``: whom it asks."""

from __future__ import annotations

import contextlib
import errno
import json
import resource
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerun.cli import health, main
from edgerun.errors import EdgerunError
from edgerun.runtime.health.control import Control, ask
from tests.daemon_process import wait_for


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A configuration with a daemon of its own, beside the machine's service."""
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setattr(health, "_SERVICE_SOCKET", tmp_path / "service.sock")
    monkeypatch.setattr(health, "DEFAULT_CONFIG", tmp_path / "etc.yaml")
    config = tmp_path / "own.yaml"
    config.write_text(f"state_dir: {tmp_path}\ncameras: {{a: {{source: {{type: file, path: x}}}}}}\n")
    sockets = {"service": tmp_path / "service.sock", "own": tmp_path / "control.sock"}
    told = {name: {"healthy": True, "wrong": [], "name": name} for name in sockets}
    controls = [Control(path, lambda name=name: told[name]) for name, path in sockets.items()]  # type: ignore[misc]
    yield config
    for control in controls:
        control.close()


def answering(capsys: pytest.CaptureFixture[str], config: Path) -> str:
    assert main(["health", "--json", "-c", str(config)]) == 0
    return str(json.loads(capsys.readouterr().out)["name"])


def test_the_daemon_of_the_given_configuration_is_asked(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a service runs: that is asked for its own configuration alone, however the file is named."""
    assert answering(capsys, own) == "own"
    assert answering(capsys, own.with_name("etc.yaml")) == "service"
    monkeypatch.chdir(own.parent)
    assert answering(capsys, Path("etc.yaml")) == "service"


def test_a_camera_gives_no_orders_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """By what it answered, which the daemon hands on."""
    said = "answers 500 \x1b[2J"
    health._print({"healthy": False, "wrong": [said], "cameras": {"a": {"state": "offline", "fps": 0, "reason": said}}})
    told = capsys.readouterr()
    assert "500 ?[2J" in told.out and "500 ?[2J" in told.err
    assert "\x1b" not in told.out + told.err


def test_a_configuration_that_is_not_there_or_is_bad_is_told(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that runs on the one before is asked all the same."""
    monkeypatch.setenv("STATE_DIRECTORY", str(own.parent))
    assert main(["health", "-c", str(own.with_name("none.yaml"))]) == 78
    assert "none.yaml" in capsys.readouterr().err
    own.write_text("cameras: {}\n")
    assert main(["health", "--json", "-c", str(own)]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["name"] == "own"
    assert f"asking the daemon that keeps its state in {own.parent}" in told.err
    assert main(["health", "-c", str(own), "--bundle", str(own)]) == 78
    assert own.read_text() == "cameras: {}\n"


def test_who_asks_need_not_have_the_daemons_secrets(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The service is asked without a look at them, any other daemon where its configuration says."""
    text = own.read_text() + "mqtt: {username: me, password: {env: NOT_HERE}}\n"
    own.write_text(text)
    own.with_name("etc.yaml").write_text(text)
    assert main(["health", "--json", "-c", str(own.with_name("etc.yaml"))]) == 0
    told = capsys.readouterr()
    assert (json.loads(told.out)["name"], told.err) == ("service", "")
    assert main(["health", "--json", "-c", str(own)]) == 0
    told = capsys.readouterr()
    assert (json.loads(told.out)["name"], told.err) == ("own", "")
    own.write_text(text + "nonsense: 1\n")
    assert answering(capsys, own) == "own"


@pytest.mark.parametrize("seconds", ["nan", "-1", "soon"])
def test_no_time_to_wait_for(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    """That it is no number would otherwise be waited for without end."""
    with pytest.raises(SystemExit):
        main(["health", f"--wait={seconds}"])
    assert f"--wait: must be a number from 0 on, not '{seconds}'" in capsys.readouterr().err


def test_a_daemon_whose_socket_was_deleted_answers_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there is its folder again, which the outbox makes."""
    monkeypatch.setattr("edgerun.runtime.health.control._LOOK_S", 0.05)
    place = tmp_path / "state" / "control.sock"
    place.parent.mkdir()
    control = Control(place, lambda: {"healthy": True})
    shutil.rmtree(place.parent)
    time.sleep(0.2)
    place.parent.mkdir()

    def answers() -> bool:
        with contextlib.suppress(EdgerunError):
            return ask(place) == {"healthy": True}
        return False

    wait_for(answers, 10, "an answer")
    control.close()
    assert not place.exists()


def test_a_daemon_ends_in_good_order_on_a_disk_that_takes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket stays where it lies, as on a card that the kernel made read-only."""
    control = Control(tmp_path / "control.sock", lambda: {"healthy": True})

    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    control.close()


def test_a_daemon_that_had_no_descriptor_free_answers_later(tmp_path: Path) -> None:
    """And not never more, though all else works on."""
    control = Control(tmp_path / "control.sock", lambda: {"healthy": True})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
        asker.settimeout(10)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            asker.connect(str(tmp_path / "control.sock"))
            time.sleep(0.1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert json.loads(asker.recv(4096)) == {"healthy": True}
    control.close()
