"""A real server of the Open Inference Protocol: MLServer with one ONNX model, in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType

import pytest

from edgerun.engines.remote import Remote, RemoteOptions
from edgerun.errors import EngineError
from tests.servers.mosquitto import free_port

TOOLS = Path(__file__).parents[2] / ".venv-tools" / "bin"
"""What scripts/test installs beside the package's own environment, as it does not go with its dependencies."""
PROGRAM = os.environ.get("EDGERUN_MLSERVER") or shutil.which("mlserver", path=f"{TOOLS}:{os.environ.get('PATH', '')}")
START_S = 60.0

needs_mlserver = pytest.mark.skipif(
    PROGRAM is None, reason="MLServer is not there: scripts/test installs it where the package index can be reached"
)


class MlServer:
    """Serves ``model`` under the name of its file, over HTTP and gRPC."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.http, self.grpc, metrics = free_port(), free_port(), free_port()
        self.model = model.stem
        self._folder = folder
        (folder / "model").mkdir(parents=True)
        runtime = Path(__file__).with_name("mlserver_onnx.py")
        (folder / "model" / runtime.name).write_text(runtime.read_text())
        ports = {"http_port": self.http, "grpc_port": self.grpc, "metrics_port": metrics}
        settings = {"host": "127.0.0.1", **ports, "parallel_workers": 0, "debug": False}
        (folder / "settings.json").write_text(json.dumps(settings))
        entry = {"name": self.model, "implementation": "mlserver_onnx.OnnxModel", "parameters": {"uri": str(model)}}
        (folder / "model" / "model-settings.json").write_text(json.dumps(entry))

    def __enter__(self) -> MlServer:
        assert PROGRAM is not None
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen([PROGRAM, "start", "."], cwd=self._folder, stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while not self._serves():
            if self._process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"MLServer did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.2)
        return self

    def _serves(self) -> bool:
        options = RemoteOptions(url=f"grpc://127.0.0.1:{self.grpc}", model=self.model, timeout_s=5)
        try:
            Remote(options, Path(self.model)).close()
        except EngineError:
            return False
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)
