"""The remote engine: a model on another machine, which may be slow, busy, gone, and back again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgerun.engines.onnx import Onnx, OnnxOptions
from edgerun.engines.remote import Remote, RemoteOptions
from edgerun.errors import EngineError
from edgerun.worker.terms import SLOTS, Candidate, Terms
from edgerun.worker.wire import Load
from tests.engines import onnx_models as make
from tests.engines.agreement import assert_agrees
from tests.servers.inference_server import InferenceServer
from tests.servers.mlserver import MlServer, needs_mlserver
from tests.shared_media import SHARED, needs_shared
from tests.test_worker import PATIENCE_S, ask, loaded, working

pytest.importorskip("tritonclient", reason="the extra [remote] is not installed")

PICTURE = np.zeros((1, 3, 6, 8), np.float32)
PICTURE[0, :, 2, 3] = 1, 2, 3
UNUSED = Path("largest.onnx")


@pytest.fixture
def server() -> Iterator[InferenceServer]:
    running = InferenceServer()
    yield running
    running.close()


def options(server: InferenceServer, **more: object) -> RemoteOptions:
    url = f"http://127.0.0.1:{server.port}"
    return RemoteOptions(url=url, input_size=(8, 6), timeout_s=0.5, **more)  # type: ignore[arg-type]  # any option


def test_tensors_cross_as_bytes(server: InferenceServer) -> None:
    engine = Remote(options(server), UNUSED)
    assert engine.io.inputs[0].shape == (1, 3, 6, 8)
    assert engine.io.outputs[0].shape == (1, 3)
    assert engine.infer([PICTURE])[0].tolist() == [[1, 2, 3]]
    engine.close()


def test_an_address_of_ipv6_is_taken() -> None:
    running = InferenceServer(host="::1")
    engine = Remote(RemoteOptions(url=f"http://[::1]:{running.port}", input_size=(8, 6)), UNUSED)
    assert engine.infer([PICTURE])[0].tolist() == [[1, 2, 3]]
    engine.close()
    running.close()


def test_a_token_is_sent_when_configured(
    server: InferenceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    for written in (token, Path("~/token")):
        Remote(options(server, token_file=written), UNUSED).close()
    assert set(server.tokens) == {"Bearer s3cret"}
    with pytest.raises(EngineError, match="token file"):
        Remote(options(server, token_file=tmp_path / "none"), UNUSED)


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_certificates_that_cannot_be_used_are_named(tmp_path: Path, scheme: str) -> None:
    """The clients died of them, of an attribute that they had not set yet."""
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    for ca, said in (("none.pem", "cannot be read"), (".", "cannot be read"), ("key.pem", "holds no certificate in")):
        with pytest.raises(EngineError, match=f"The engine's ca: {tmp_path / ca} {said}"):
            Remote(RemoteOptions(url=f"{scheme}://127.0.0.1:9", ca=tmp_path / ca), UNUSED)


@pytest.mark.parametrize("mood", ["late", "busy", "garbled"])
def test_a_server_in_trouble_is_a_passing_error(server: InferenceServer, mood: str) -> None:
    engine = Remote(options(server), UNUSED)
    server.mood = mood
    with pytest.raises(EngineError, match=r"'largest' on 127\.0\.0\.1") as caught:
        engine.infer([PICTURE])
    assert caught.value.retriable
    server.mood = "well"
    server.release.set()
    assert engine.infer([PICTURE])[0].tolist() == [[1, 2, 3]]


def test_a_server_that_comes_back_is_used_again() -> None:
    first = InferenceServer()
    engine = Remote(options(first), UNUSED)
    first.close()
    with pytest.raises(EngineError):
        for _ in range(3):  # a connection that is still open may serve once more
            engine.infer([PICTURE])
    second = InferenceServer(first.port)
    try:
        assert engine.infer([PICTURE])[0].tolist() == [[1, 2, 3]]
    finally:
        second.close()


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_nobody_there_and_an_unknown_model_are_told(server: InferenceServer, scheme: str) -> None:
    with pytest.raises(EngineError, match=r"did not run 'largest' on 127\.0\.0\.1") as caught:
        Remote(RemoteOptions(url=f"{scheme}://127.0.0.1:1", timeout_s=1), UNUSED)
    assert caught.value.retriable
    with pytest.raises(EngineError, match="no model 'other'"):
        Remote(options(server, model="other"), UNUSED)


@pytest.mark.parametrize(
    "url", ["10.0.0.9:8000", "ftp://host", "http://", "http://host:x", "http://host:80000", "http://[::1:8000"]
)
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be like"):
        RemoteOptions(url=url)


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlServer]:
    with MlServer(tmp_path_factory.mktemp("mlserver") / "served", SHARED / "models" / "fastestdet_352.onnx") as running:
        yield running


@needs_shared
@needs_mlserver
@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_real_server_agrees_with_the_local_engine(mlserver: MlServer, scheme: str) -> None:
    port = mlserver.http if scheme == "http" else mlserver.grpc
    url = f"{scheme}://127.0.0.1:{port}"
    engine = Remote(RemoteOptions(url=url, timeout_s=20), Path("fastestdet_352.onnx"))
    assert_agrees(engine, "fastestdet", "fastestdet_352.onnx")
    engine.close()


def test_the_local_engine_takes_over_while_the_server_is_gone(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    path = tmp_path / "largest.onnx"
    path.write_bytes(make.pooling([1, 3, 6, 8]))
    server = InferenceServer()
    away = Candidate("remote", Load(Remote, options(server), path, SLOTS))
    here = Candidate("onnx", Load(Onnx, OnnxOptions(), path, SLOTS))
    with working(away, here, terms=Terms(retry_primary_s=0.5)) as (worker, heard):
        loaded(heard)
        worker.slot(0).inputs[0][...] = PICTURE
        worker.submit(0, worker.slots)
        assert heard.replies.get(timeout=PATIENCE_S).reason == ""
        server.close()
        for _ in range(60):
            if ask(worker, heard, 7).reason == "":
                break
        assert worker.candidate.name == "onnx"
        assert "in a row failed" in heard.losses.get(timeout=PATIENCE_S)
        assert np.ravel(worker.slot(0).outputs()[0]).tolist() == [7, 7, 7]
        server = InferenceServer(server.port)
        while worker.candidate.name != "remote":
            loaded(heard)
        assert ask(worker, heard, 8).reason == ""
        server.close()
