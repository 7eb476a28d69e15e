"""The daemon as it runs on a device, with each engine in turn: persons of a real clip arrive at a real subscriber."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edgerun.schemas import PAYLOADS
from tests.converters import as_ncnn, as_openvino
from tests.daemon_process import DaemonProcess, wait_for
from tests.servers.mlserver import MlServer, needs_mlserver
from tests.servers.mosquitto import Mosquitto, needs_mosquitto
from tests.shared_media import SHARED, needs_shared
from tests.subscriber import Subscriber

FASTESTDET = SHARED / "models" / "fastestdet_352.onnx"
PERSONS = 3
"""So many confirmed in one frame: there are five and more."""


@contextmanager
def model_for(engine: str, folder: Path) -> Iterator[dict[str, Any]]:
    """A real model in the engine's own format, and what it takes to run it."""
    folder.mkdir()
    chosen: dict[str, Any] = {"labels": str(SHARED / "models" / "coco80.names"), "engine": engine}
    if engine == "tflite":
        path, labels = ("coco_ssd_mobilenet_v1_quant.tflite", "coco90_labels.txt")
        yield {**chosen, "path": str(SHARED / "models" / path), "labels": str(SHARED / "models" / labels)}
    elif engine == "openvino":
        yield {**chosen, "path": str(as_openvino(FASTESTDET, folder))}
    elif engine == "ncnn":
        yield {**chosen, "path": str(as_ncnn(FASTESTDET, folder, 352, 352))}
    elif engine == "remote":
        with MlServer(folder / "server", FASTESTDET) as server:
            there = {"type": "remote", "url": f"grpc://127.0.0.1:{server.grpc}", "timeout_s": 10}
            yield {**chosen, "path": str(FASTESTDET), "engine": there, "fallback": False}
    else:
        yield {**chosen, "path": str(FASTESTDET)}


@needs_shared
@needs_mosquitto
@pytest.mark.broker
@pytest.mark.parametrize("engine", ["tflite", "onnx", "openvino", "ncnn", pytest.param("remote", marks=needs_mlserver)])
def test_persons_arrive_at_a_subscriber(engine: str, tmp_path: Path) -> None:
    clip = {"type": "file", "path": str(SHARED / "media" / "vtest.avi"), "loop": True}
    with (
        model_for(engine, tmp_path / "model") as model,
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker.port) as subscriber,
        DaemonProcess(
            tmp_path / "daemon",
            {
                "device": "pi",
                "mqtt": {"host": "127.0.0.1", "port": broker.port},
                "model": {**model, "score": 0.4},
                "cameras": {"plaza": {"source": clip, "fps": 5}},
            },
        ) as daemon,
    ):
        daemon.ready(90)

        def persons() -> dict[str, Any] | None:
            for arrival in subscriber.on("/plaza/detections"):
                payload: dict[str, Any] = arrival.json
                if sum(o["label"] == "person" and o["track_id"] is not None for o in payload["objects"]) >= PERSONS:
                    return payload
            return None

        payload = wait_for(persons, 60, daemon.log)
        assert payload is not None
        Draft202012Validator(PAYLOADS["detections"]).validate(payload)
        assert payload["engine"] == engine
        assert payload["inference_ms"] > 0
        state = subscriber.wait("/state", 10).json
        assert (state["engine"], state["model"]["sha256"]) == (engine, payload["model"]["sha256"])
        assert daemon.stop() == 0
