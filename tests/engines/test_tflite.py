"""The tflite engine on real models: what it tells of them, what it computes, and what it says when it cannot."""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import flatbuffers  # type: ignore[import-untyped]  # it has no type hints
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema  # type: ignore[import-untyped]  # it has no type hints

from edgerun.engines.tflite import DelegateOptions, Tflite, TfliteOptions, _spec
from edgerun.engines.tflite_metadata import read_metadata
from edgerun.errors import EngineError, ModelError
from edgerun.models import from_metadata, resolve
from edgerun.models.store import is_pickle
from tests.engines import built_library
from tests.shared_media import SHARED, needs_shared

PERSON = resolve("person-ssdlite-int8").path
COCO = SHARED / "models" / "coco_ssd_mobilenet_v1_quant.tflite"
PLAIN = TfliteOptions()


def test_a_full_integer_model_is_described_and_run() -> None:
    engine = Tflite(PLAIN, PERSON)
    (picture,) = engine.io.inputs
    assert (picture.shape, picture.dtype) == ((1, 300, 300, 3), "uint8")
    assert picture.scale == pytest.approx(1 / 127.5, rel=1e-3)
    assert engine.io.size == (300, 300)
    outputs = engine.infer([np.full(picture.shape, 128, np.uint8)])
    assert [(o.shape, o.dtype.name) for o in outputs] == [(s.shape, s.dtype) for s in engine.io.outputs]
    assert {o.shape for o in outputs} == {(1, 1917, 4), (1, 1917, 2)}
    engine.close()


@needs_shared
def test_an_ssd_tells_how_many_classes_it_knows() -> None:
    """Its four outputs do not: COCO's 90 and the background."""
    assert Tflite(PLAIN, COCO).io.metadata["ssd_classes"] == "91"


@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 0.0), (np.uint8, 0.5), (np.int8, 0.5)])
def test_only_whole_numbers_are_quantized(dtype: type, scale: float) -> None:
    """Whatever scale a converter left with a tensor of floats."""
    spec = _spec({"dtype": dtype, "quantization": (0.5, 3)}, "boxes", [1, 4])
    assert (spec.scale, spec.zero_point) == (scale, 3 if scale else 0)


@pytest.mark.parametrize("signature", [[1, -1, -1, 3], [-1, -1, -1, 3]])
def test_a_picture_of_an_open_size_is_refused(tmp_path: Path, signature: list[int]) -> None:
    """A converter writes it down as 1x1, which no camera's picture may be squeezed into."""
    with pytest.raises(ModelError, match=r"leaves the size of its picture open \(.*Convert it again with a fixed one"):
        Tflite(PLAIN, with_input(tmp_path, [1, 1, 1, 3], signature))


def test_an_open_batch_is_one_picture(tmp_path: Path) -> None:
    engine = Tflite(PLAIN, with_input(tmp_path, [1, 300, 300, 3], [-1, 300, 300, 3]))
    assert engine.io.inputs[0].shape == (1, 300, 300, 3)


def with_input(folder: Path, shape: list[int], signature: list[int]) -> Path:
    """The bundled model with another shape of its input."""
    model = schema.ModelT.InitFromPackedBuf(PERSON.read_bytes())
    (graph,) = model.subgraphs
    picture = graph.tensors[graph.inputs[0]]
    picture.shape, picture.shapeSignature = shape, signature
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path = folder / "other.tflite"
    path.write_bytes(builder.Output())
    return path


def test_threads_change_nothing_but_the_time() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1, 300, 300, 3), np.uint8)
    one, two = (Tflite(TfliteOptions(threads=n), PERSON).infer([noise]) for n in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_outputs_survive_the_next_inference() -> None:
    engine = Tflite(PLAIN, PERSON)
    black = engine.infer([np.zeros((1, 300, 300, 3), np.uint8)])
    before = black[0].copy()
    engine.infer([np.full((1, 300, 300, 3), 200, np.uint8)])
    assert np.array_equal(black[0], before)


@needs_shared
def test_outputs_whose_shape_is_only_known_at_run_time_are_described() -> None:
    io = Tflite(PLAIN, COCO).io
    assert [spec.shape for spec in io.outputs] == [(1, 10, 4), (1, 10), (1, 10), (1,)]


@pytest.mark.parametrize("tensor", [np.zeros((1, 300, 300, 3), np.float32), np.zeros((300, 300, 3), np.uint8)])
def test_a_tensor_that_does_not_fit_is_an_error_in_words(
    tensor: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> None:
    with pytest.raises(EngineError, match="does not fit the model"):
        Tflite(PLAIN, PERSON).infer([tensor])


def test_a_missing_a_damaged_and_a_foreign_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not there"):
        Tflite(PLAIN, tmp_path / "none.tflite")
    for name, content in {"poem": b"roses are red", "empty": b"", "short": PERSON.read_bytes()[:40_000]}.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"damaged, or no TensorFlow Lite model"):
            Tflite(PLAIN, path)


@needs_shared
def test_an_edge_tpu_model_without_one() -> None:
    with pytest.raises(ModelError, match="compiled for the Edge TPU: use engine edgetpu"):
        Tflite(PLAIN, SHARED / "models" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite")


def test_labels_and_ultralytics_metadata_are_read_from_the_appended_archive(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    shutil.copy(PERSON, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labelmap.txt", "someone\n")
        archive.writestr("huge.txt", "x" * 5_000_000)
        archive.writestr(
            "metadata.json", '{"names": {"0": "person", "1": "cat"}, "task": "detect", "imgsz": [300, 300]}'
        )
    metadata = Tflite(PLAIN, path).io.metadata
    assert metadata["task"] == "detect"
    assert from_metadata(metadata) == ("someone",)
    assert from_metadata({"names": metadata["names"]}) == ("person", "cat")


def test_labels_of_an_older_ultralytics_export(tmp_path: Path) -> None:
    """It wrote a Python literal, into a file of another name."""
    with zipfile.ZipFile(path := tmp_path / "model.tflite", "w") as archive:
        archive.writestr("temp_meta.txt", "{'task': 'detect', 'names': {0: 'person', 1: 'cat'}, 'imgsz': [320, 320]}")
    metadata = read_metadata(path)
    assert from_metadata(metadata) == ("person", "cat")
    assert metadata["imgsz"] == "[320, 320]"


def described(model: Path, path: Path, files: Sequence[tuple[str, int, str]]) -> None:
    """A model to which TensorFlow's metadata is added: names, kinds and locales of what its second output's are."""
    builder = flatbuffers.Builder()

    def table(count: int, **fields: int) -> int:
        texts = [int(name[1:]) for name in fields]
        builder.StartObject(count)
        for number, value in zip(texts, fields.values(), strict=True):
            builder.PrependUOffsetTRelativeSlot(number, value, 0)
        made: int = builder.EndObject()
        return made

    def vector(*tables: int) -> int:
        builder.StartVector(4, len(tables), 4)
        for one in reversed(tables):
            builder.PrependUOffsetTRelative(one)
        made: int = builder.EndVector()
        return made

    made = []
    for name, kind, locale in files:
        texts = builder.CreateString(name), builder.CreateString(locale)
        builder.StartObject(5)
        builder.PrependUOffsetTRelativeSlot(0, texts[0], 0)
        builder.PrependInt8Slot(2, kind, 0)
        builder.PrependUOffsetTRelativeSlot(3, texts[1], 0)
        made.append(builder.EndObject())
    outputs = vector(table(7), table(7, f6=vector(*made)))
    builder.Finish(table(8, f3=vector(table(9, f3=outputs))), b"M001")
    whole = schema.ModelT.InitFromPackedBuf(model.read_bytes(), 0)
    about, buffer = schema.MetadataT(), schema.BufferT()
    about.name, about.buffer, buffer.data = "TFLITE_METADATA", len(whole.buffers), bytes(builder.Output())
    whole.buffers.append(buffer)
    whole.metadata = [*(whole.metadata or []), about]
    packed = flatbuffers.Builder()
    packed.Finish(whole.Pack(packed), b"TFL3")
    path.write_bytes(bytes(packed.Output()))
    with zipfile.ZipFile(path, "a") as archive:
        for name, _, _ in files:
            archive.writestr(name, f"{name[:-4]}\n")


AXIS, VALUES, CALIBRATION = 2, 3, 4


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        ([("what.txt", VALUES, ""), ("labels of old.txt", 0, "")], "what"),
        ([("quoi.txt", AXIS, "fr"), ("what.txt", AXIS, "en"), ("was.txt", AXIS, "de")], "what"),
        ([("quoi.txt", AXIS, "fr"), ("score labels.txt", CALIBRATION, "")], "quoi"),
        ([("a.txt", 0, ""), ("the labels.txt", 0, "")], "the labels"),
    ],
    ids=["said to be", "languages", "only one", "called so"],
)
def test_of_several_texts_the_labels_are_taken(
    tmp_path: Path, files: Sequence[tuple[str, int, str]], labels: str
) -> None:
    """And not the last: that the model itself says which they are goes before how they are called."""
    described(PERSON, tmp_path / "model.tflite", files)
    assert from_metadata(Tflite(PLAIN, tmp_path / "model.tflite").io.metadata) == (labels,)


def test_a_licence_is_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    shutil.copy(PERSON, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("LICENSE.txt", "Apache License")
    assert "labels" not in read_metadata(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("dict.txt", "someone")
        archive.writestr("README.txt", "Read this first")
    assert read_metadata(path)["labels"] == "someone"


def test_metadata_that_points_anywhere_is_told_nothing_by(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    described(PERSON, path, [("what.txt", VALUES, ""), ("labels.txt", 0, "")])
    whole = path.read_bytes()
    at = whole.index(b"M001") - 4
    for offset in (0, 4, 8, 12, 16, 40):
        path.write_bytes(whole[: at + offset] + b"\xff\xff\xff\x7f" + whole[at + offset + 4 :])
        assert read_metadata(path)["labels"] in ("what\n", "labels\n")


def test_an_appended_archive_that_is_damaged_is_told_in_words(tmp_path: Path) -> None:
    """Wherever it is: in the packed text, too."""
    path = tmp_path / "model.tflite"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", '{"task": "detect"}' + " " * 100)
    whole = path.read_bytes()
    packed = whole.index(b"metadata.json") + len("metadata.json")
    path.write_bytes(whole[:packed] + b"\xff" * 4 + whole[packed + 4 :])
    with pytest.raises(ModelError, match=r"metadata at the end of .* is damaged"):
        read_metadata(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_an_archive_is_damaged_in_one_way_only(tmp_path: Path, method: int) -> None:
    """Its reader has many: names that are no text, packed data that ends too soon, versions that there never were."""
    path = tmp_path / "model.tflite"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("schlüssel.txt", "person\ncar\n" * 9)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xF7]) + whole[at + 1 :])
        assert not is_pickle(path)
        with suppress(ModelError):
            read_metadata(path)


def test_tflite_runtime_on_numpy_2_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its real builds fail so: a SystemError from the extension, which says nothing of numpy."""
    folder = tmp_path / "tflite_runtime"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    raising = "raise SystemError('<built-in method CreateWrapperFromFile> returned a result with an exception set')"
    (folder / "interpreter.py").write_text(f"class Interpreter:\n    def __init__(self, *a, **k):\n        {raising}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(EngineError, match=r"does not work with numpy 2.*numpy<2"):
        Tflite(PLAIN, PERSON)


def test_no_runtime_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ai_edge_litert", "tflite_runtime"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineError, match="needs the package ai-edge-litert"):
        Tflite(PLAIN, PERSON)


@pytest.fixture(scope="module")
def delegate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real delegate library, built from the source beside this file."""
    return built_library("delegate.c", tmp_path_factory.mktemp("delegate"))


@pytest.mark.parametrize("in_home", [False, True])
def test_an_external_delegate_is_loaded_with_its_options(
    delegate: str, in_home: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(delegate)
    monkeypatch.setenv("HOME", str(place.parent))
    library = f"~/{place.name}" if in_home else delegate
    options = TfliteOptions(delegate=DelegateOptions(library=library, options={"device": "here"}))
    with_it, without = Tflite(options, PERSON), Tflite(PLAIN, PERSON)
    gray = [np.full((1, 300, 300, 3), 90, np.uint8)]
    scores = [engine.infer(gray)[1].astype(int) for engine in (with_it, without)]
    assert np.abs(scores[0] - scores[1]).max() <= 3  # other kernels, the same model


def test_a_delegate_that_refuses_is_worth_another_try(delegate: str) -> None:
    options = TfliteOptions(delegate=DelegateOptions(library=delegate, options={"device": "there"}))
    with pytest.raises(EngineError, match=r"refused to start \(no device called there\)") as caught:
        Tflite(options, PERSON)
    assert caught.value.retriable


def test_a_library_that_is_missing_or_no_delegate() -> None:
    with pytest.raises(EngineError, match=r"libnone\.so cannot be loaded"):
        Tflite(TfliteOptions(delegate=DelegateOptions(library="libnone.so")), PERSON)
    with pytest.raises(EngineError, match="no TensorFlow Lite delegate"):
        Tflite(TfliteOptions(delegate=DelegateOptions(library="libm.so.6")), PERSON)
