"""The ONNX engine runs real models on real pictures, and refuses what it should not run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgerun.engines.onnx import Onnx, OnnxOptions
from edgerun.engines.onnx_file import refuse_unsafe_onnx
from edgerun.errors import EdgerunError, EngineError, ModelError
from edgerun.heads.picodet import PicoDet, PicoDetOptions
from edgerun.heads.pixels import IMAGENET, UNIT
from edgerun.models import from_metadata
from edgerun.types import InputLayout
from tests.engines import onnx_models as make
from tests.shared_media import SHARED, needs_shared

pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")

UINT8, INT16 = 2, 5
PICTURE = np.zeros((1, 3, 8, 8), np.float32)
PICTURE[0, :, 2, 3] = 1, 2, 3


def saved(folder: Path, content: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


def test_a_model_runs_and_tells_its_io(tmp_path: Path) -> None:
    engine = Onnx(OnnxOptions(), saved(tmp_path, make.pooling([1, 3, 8, 8], metadata={"stride": "32"})))
    (spec,) = engine.io.inputs
    assert (spec.name, spec.shape, spec.dtype) == ("picture", (1, 3, 8, 8), "float32")
    assert engine.io.outputs[0].shape == (1, 3, 1, 1)
    assert engine.io.metadata == {"stride": "32"}
    assert engine.provider == "cpu"
    assert np.ravel(engine.infer([PICTURE])[0]).tolist() == [1, 2, 3]
    engine.close()


PLUS = "mean:\n  - 0.0\n  - 0.0\n  - 0.0\n  norm_type: none\n  std:\n  - 1.0\n  - 1.0\n  - 1.0"
USUAL = "is_scale: true\n  mean:\n  - 0.485\n  - 0.456\n  - 0.406\n  std:\n  - 0.229\n  - 0.224\n  - 0.225"
FLOWING = "is_scale: true\n  mean: [0.485, 0.456, 0.406]\n  std: [0.229, 0.224, 0.225]"


@pytest.mark.parametrize(
    ("normalize", "name", "layout", "told"),
    [
        (PLUS, "image", UNIT, "unit"),
        (USUAL, "image", IMAGENET, "imagenet"),
        (FLOWING, "image", IMAGENET, "imagenet"),
        ("mean: damaged", "image", IMAGENET, None),
        (f"is_scale: false\n  {PLUS}", "image", IMAGENET, None),
        (PLUS, "images", None, None),
    ],
)
def test_what_paddledetection_wrote_beside_a_model_is_heeded(
    tmp_path: Path, normalize: str, name: str, layout: InputLayout | None, told: str | None
) -> None:
    """PP-YOLOE+ looks as PP-YOLOE does and wants other pixels. Another project's model there is not meant."""
    (tmp_path / "infer_cfg.yml").write_text(
        "mode: paddle\nPreprocess:\n- interp: 2\n  target_size:\n  - 8\n  - 8\n  type: Resize\n"
        f"- {normalize}\n  type: NormalizeImage\n- type: Permute\nlabel_list:\n- person\n- traffic light\n"
    )
    path = saved(tmp_path, make.pooling([1, 3, 8, 8], name=name))
    io = Onnx(OnnxOptions(), path).io
    assert from_metadata(io.metadata) == (("person", "traffic light") if layout else ())
    assert io.metadata.get("pixels") == told
    assert PicoDet(PicoDetOptions()).layout(io) == (layout or IMAGENET)
    named = make.pooling([1, 3, 8, 8], name=name, metadata={"names": "['cat']"})
    assert from_metadata(Onnx(OnnxOptions(), saved(tmp_path, named)).io.metadata) == ("cat",)


def test_open_dimensions_are_settled_by_the_option_or_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path, make.pooling(["batch", 3, "height", "width"]))
    engine = Onnx(OnnxOptions(input_size=(8, 6)), path)
    assert engine.io.inputs[0].shape == (1, 3, 6, 8)
    assert engine.io.size == (8, 6)
    assert engine.io.outputs[0].shape == (1, 3, 1, 1)
    assert Onnx(OnnxOptions(), path).io.size == (640, 640)
    told = make.pooling(["batch", 3, "height", "width"], metadata={"imgsz": "[32, 48]"})
    assert Onnx(OnnxOptions(), saved(tmp_path, told)).io.size == (48, 32), "height comes first there"


@pytest.mark.parametrize(("pictures", "options"), [("batch", OnnxOptions(batch=2)), (2, OnnxOptions())])
def test_several_pictures_are_looked_at_at_once(tmp_path: Path, pictures: int | str, options: OnnxOptions) -> None:
    engine = Onnx(options, saved(tmp_path, make.pooling([pictures, 3, 8, 8])))
    assert engine.io.batch == 2
    assert engine.io.of_one().inputs[0].shape == (1, 3, 8, 8)
    assert engine.io.of_one().outputs[0].shape == (1, 3, 1, 1)
    (largest,) = engine.infer([np.concatenate([PICTURE, PICTURE / 2])])
    assert largest.reshape(2, 3).tolist() == [[1, 2, 3], [0.5, 1, 1.5]]


@pytest.mark.parametrize("kind", [UINT8, INT16])
def test_outputs_of_a_scale_that_nobody_tells_are_refused(tmp_path: Path, kind: int) -> None:
    nodes = [
        make.node("GlobalMaxPool", ["picture"], ["largest"]),
        make.node("Cast", ["largest"], ["stored"], make.attribute("to", kind)),
    ]
    content = make.model(nodes, [make.value("picture", [1, 3, 8, 8])], [make.value("stored", [1, 3, 1, 1], kind)])
    with pytest.raises(ModelError, match="nothing tells their scale"):
        Onnx(OnnxOptions(), saved(tmp_path, content))


def test_what_counts_what_was_found_stays_open_though_the_trials_found_as_much(tmp_path: Path) -> None:
    """As models do that tell of the best so many: an even picture and noise give that many, a quiet one gives fewer."""
    content = make.model(
        [
            make.node("GlobalMaxPool", ["picture"], ["largest"]),
            make.node("Reshape", ["largest", "flat"], ["row"]),
            make.node("Greater", ["row", "least"], ["good"]),
            make.node("Compress", ["row", "good"], ["found"]),
        ],
        [make.value("picture", [1, 3, 8, 8])],
        [make.value("found", ["n"])],
        [make.integers("flat", [-1]), make.tensor("least", [], np.float32(0.5).tobytes())],
    )
    engine = Onnx(OnnxOptions(), saved(tmp_path, content))
    assert [spec.shape for spec in engine.io.outputs] == [(-1,)]
    assert engine.infer([PICTURE * np.float32(0.2)])[0].tolist() == [pytest.approx(0.6)]


def test_how_many_rows_were_chosen_stays_open_though_the_trials_chose_as_many(tmp_path: Path) -> None:
    """Here one for each colour that is somewhere in the picture: in both trials all three are."""
    content = make.model(
        [
            make.node("GlobalMaxPool", ["picture"], ["largest"]),
            make.node("Reshape", ["largest", "column"], ["each"]),
            make.node("Expand", ["each", "six"], ["rows"]),
            make.node("Reshape", ["largest", "flat"], ["row"]),
            make.node("Greater", ["row", "least"], ["good"]),
            make.node("Compress", ["rows", "good"], ["found"], make.attribute("axis", 1)),
        ],
        [make.value("picture", [1, 3, 8, 8])],
        [make.value("found", [1, "n", 6])],
        [
            make.integers("column", [1, -1, 1]),
            make.integers("six", [1, 3, 6]),
            make.integers("flat", [-1]),
            make.tensor("least", [], np.float32(0.5).tobytes()),
        ],
    )
    engine = Onnx(OnnxOptions(), saved(tmp_path, content))
    assert [spec.shape for spec in engine.io.outputs] == [(1, -1, 6)]
    assert engine.infer([PICTURE * np.float32(0.2)])[0].tolist() == [[[pytest.approx(0.6)] * 6]]


def test_an_output_that_depends_on_the_picture_stays_open(tmp_path: Path) -> None:
    content = make.model(
        [make.node("NonZero", ["picture"], ["places"])],
        [make.value("picture", [1, 3, 8, 8])],
        [make.value("places", [4, "found"], make.INT64)],
    )
    engine = Onnx(OnnxOptions(), saved(tmp_path, content))
    assert engine.io.outputs[0].shape == (4, -1)
    assert engine.io.outputs[0].dtype == "int64"
    assert engine.infer([PICTURE])[0].tolist() == [[0, 0, 0], [0, 1, 2], [2, 2, 2], [3, 3, 3]]


def test_the_picture_comes_first_whatever_the_files_order(tmp_path: Path) -> None:
    content = make.model(
        [
            make.node("GlobalMaxPool", ["picture"], ["largest"]),
            make.node("Mul", ["largest", "scale_factor"], ["scaled"]),
        ],
        [make.value("scale_factor", [1]), make.value("picture", [1, 3, 8, 8])],
        [make.value("scaled", [1, 3, 1, 1])],
    )
    engine = Onnx(OnnxOptions(), saved(tmp_path, content))
    assert [spec.name for spec in engine.io.inputs] == ["picture", "scale_factor"]
    assert np.ravel(engine.infer([PICTURE, np.array([10], np.float32)])[0]).tolist() == [10, 20, 30]


def test_providers_are_tried_in_order_and_must_prove_themselves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(tmp_path, make.pooling([1, 3, 8, 8]))
    assert Onnx(OnnxOptions(providers=("tensorrt", "cuda", "cpu"), cache_dir=tmp_path), path).provider == "cpu"
    assert [record.args for record in caplog.records if record.args] != []
    with pytest.raises(EngineError, match=r"cuda: .*no CUDAExecutionProvider"):
        Onnx(OnnxOptions(providers=("cuda",)), path)


def test_a_wrong_tensor_is_an_engine_error(tmp_path: Path) -> None:
    engine = Onnx(OnnxOptions(), saved(tmp_path, make.pooling([1, 3, 8, 8])))
    with pytest.raises(EngineError, match="during inference"):
        engine.infer([PICTURE.astype(np.float64)])


TENSOR = make.tensor("w", [3], b"")
OUTSIDE = make.tensor("w", [3], b"", make.external("../../../../etc/passwd"))
INNER_GRAPH = make.field(5, OUTSIDE) + make.field(2, "branch")
ATTRIBUTE = make.field(1, "then_branch") + make.field(20, 5)


@pytest.mark.parametrize(
    "content",
    [
        make.model([], [make.value("picture", [1, 3, 8, 8])], [], weights=[OUTSIDE]),
        make.model([make.node("Constant", [], ["c"], make.field(1, "value") + make.field(5, OUTSIDE))], [], []),
        make.model([make.node("If", ["c"], ["d"], ATTRIBUTE + make.field(6, INNER_GRAPH))], [], []),
        make.field(7, make.field(15, make.field(1, OUTSIDE))),
        make.field(7, b"") + make.field(25, make.field(7, make.node("Constant", [], ["c"], make.field(5, OUTSIDE)))),
        make.field(7, make.field(5, make.tensor("w", [3], b"", make.field(14, 1)))),
    ],
    ids=["initializer", "constant", "branch", "sparse", "function", "location-only"],
)
def test_weights_outside_the_file_are_refused_wherever_they_hide(tmp_path: Path, content: bytes) -> None:
    path = saved(tmp_path, content)
    with pytest.raises(ModelError, match="keeps weights in another file"):
        refuse_unsafe_onnx(path)
    with pytest.raises(ModelError, match="keeps weights in another file"):
        Onnx(OnnxOptions(), path)


def test_programs_compiled_elsewhere_are_refused(tmp_path: Path) -> None:
    node = make.node("EPContext", ["picture"], ["out"], domain="com.microsoft")
    content = make.model([node], [make.value("picture", [1, 3, 8, 8])], [make.value("out", [1])])
    with pytest.raises(ModelError, match="native code"):
        Onnx(OnnxOptions(), saved(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a whole ONNX model"),
        (b"TFL3" * 100, "not a whole ONNX model"),
        (b"\x80\x04\x95" + bytes(200), "not a whole ONNX model"),
        (make.field(1, 8), "it has no graph"),
        (make.pooling([1, 3, 8, 8])[:-20], "cut short"),
        (make.pooling([1, 8, 8, 40]), "takes no colour picture"),
        (make.pooling([17, 3, 8, 8]), "batch of 1 to 16"),
        (make.model([make.node("Nonsense", ["x"], ["y"])], [make.value("x", [1])], [make.value("y", [1])]), "Nonsense"),
    ],
)
def test_a_damaged_or_unfit_file_is_a_model_error(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        Onnx(OnnxOptions(), saved(tmp_path, content))


def test_a_missing_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        Onnx(OnnxOptions(), tmp_path / "none.onnx")


@needs_shared
def test_flipped_bits_and_cuts_end_in_one_of_our_errors(tmp_path: Path) -> None:
    """Whatever is wrong with a file, its fault is told; nothing else escapes."""
    whole = (SHARED / "models" / "yunet_n_640.onnx").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(25):
        torn = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.5 else whole)
        for place in rng.integers(0, min(len(torn), 20_000), 5):
            torn[place] ^= 1 << int(rng.integers(8))
        try:
            Onnx(OnnxOptions(), saved(tmp_path, bytes(torn))).close()
        except EdgerunError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 12
