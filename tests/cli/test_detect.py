"""``edgerun detect``: engines with options, classifiers, and what models find beyond boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgerun.cli import main
from tests.cli import edgerun
from tests.engines import onnx_models as make

pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), np.full((120, 160, 3), (0, 0, 255), np.uint8))
    return path


def seen(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, Any]]:
    assert main(["detect", "--json", *map(str, words)]) == 0
    objects: list[dict[str, Any]] = json.loads(capsys.readouterr().out)[0]["objects"]
    return objects


def test_a_classifier_names_what_the_whole_image_is(
    red: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, labels = tmp_path / "colours.onnx", tmp_path / "colours.txt"
    model.write_bytes(make.pooling([1, 3, 8, 8]))
    labels.write_text("red\ngreen\nblue\n")
    (found,) = seen(capsys, red, "--model", model, "--labels", labels, "--engine", "{type: onnx, threads: 2}")
    assert (found["label"], found["box_px"]) == ("red", [0, 0, 160, 120])
    assert found["score"] > 0.9


def pose_model(path: Path) -> Path:
    """Sees the same person in every picture: letterboxed to 64x64, with three key points."""
    cells = 84
    planes = np.zeros((1, 4 + 1 + 9, cells), np.float32)
    planes[0, :5, 5] = 32, 32, 16, 24, 0.9
    planes[0, 5:, 5] = 32, 22, 0.95, 28, 30, 0.9, 36, 30, 0.1
    metadata = {"task": "pose", "names": "{0: 'person'}", "kpt_shape": "[3, 3]", "stride": "32", "imgsz": "[64, 64]"}
    content = make.model(
        [make.node("Identity", ["planes"], ["output0"])],
        [make.value("images", [1, 3, 64, 64])],
        [make.value("output0", planes.shape)],
        [make.tensor("planes", planes.shape, planes.tobytes())],
        metadata,
    )
    path.write_bytes(content)
    return path


def test_key_points_are_told_and_drawn(red: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = pose_model(tmp_path / "pose.onnx")
    (found,) = seen(capsys, red, "--model", model, "--engine", "onnx", "--save", tmp_path / "drawn")
    assert (found["label"], found["box_px"]) == ("person", [60, 30, 100, 90])
    assert found["keypoints_px"] == [[80, 35, 0.95], [70, 55, 0.9], [90, 55, 0.1]]
    drawn = cv2.imread(str(tmp_path / "drawn" / "red.jpg"))
    assert drawn is not None
    green = drawn[:, :, 1].astype(int)
    assert green[55, 70] > 100
    assert green[55, 90] < 100, "a key point that the model doubts is not drawn"


def test_a_model_gives_no_orders_to_the_terminal(red: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By what its author called things, nor a picture by its name; one looks into a file from elsewhere with
    `edgerun models info`."""
    path, clear = pose_model(tmp_path / "pose.onnx"), "\x1b[2J"
    path.write_bytes(
        path.read_bytes()
        + make.field(14, make.field(1, "names") + make.field(2, "{0: 'per\\x1b[2Json'}"))
        + make.field(14, make.field(1, f"author{clear}") + make.field(2, clear))
    )
    picture = red.rename(red.with_name(f"red{clear}.jpg"))
    for words in (["models", "info", str(path)], ["detect", str(picture), "--model", str(path), "--engine", "onnx"]):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert "per?[2Json" in said
        assert clear not in said
    unknown = tmp_path / "unknown.onnx"
    tensor = [1, 3, 8, 8]
    node = make.node(f"Bad{clear}", ["in"], ["out"])
    unknown.write_bytes(make.model([node], [make.value("in", tensor)], [make.value("out", tensor)]))
    assert main(["detect", str(picture), "--model", str(unknown), "--engine", "onnx"]) != 0
    said = capsys.readouterr().err
    assert "Bad?[2J" in said
    assert clear not in said


def segmenting_model(path: Path) -> Path:
    """Sees the same disc in every picture: half as wide as its input of 64x64, in the middle."""
    planes = np.zeros((1, 4 + 1 + 2, 84), np.float32)
    planes[0, :, 5] = 32, 32, 34, 34, 0.9, 1, 0
    y, x = np.mgrid[:16, :16]
    disc = 4 - np.hypot(x - 7.5, y - 7.5)
    prototypes = np.stack([disc, -disc])[None].astype(np.float32)
    names = {"task": "segment", "names": "{0: 'disc'}", "stride": "32", "imgsz": "[64, 64]"}
    content = make.model(
        [make.node("Identity", ["planes"], ["output0"]), make.node("Identity", ["discs"], ["output1"])],
        [make.value("images", [1, 3, 64, 64])],
        [make.value("output0", planes.shape), make.value("output1", prototypes.shape)],
        [
            make.tensor("planes", planes.shape, planes.tobytes()),
            make.tensor("discs", prototypes.shape, prototypes.tobytes()),
        ],
        names,
    )
    path.write_bytes(content)
    return path


def test_outlines_are_told(red: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = seen(capsys, red, "--model", segmenting_model(tmp_path / "discs.onnx"), "--engine", "onnx")
    corners = np.array(found["polygon_px"])
    assert found["label"] == "disc"
    assert 8 <= len(corners) <= 24
    assert np.hypot(*(corners - (80, 60)).T) == pytest.approx(40, abs=3)


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("{type: onnx, threds: 2}", "engine.threds: unknown key; did you mean threads?"),
        ("onyx", "engine: has no type 'onyx': one of auto, "),
        ("{type: remote, url: nowhere}", "must be like http://HOST:8000"),
        ("{type: onnx", "edgerun: engine: is not valid YAML"),
        ("a: b", "edgerun: engine: is not valid YAML"),
        ("\udcff", "edgerun: engine: is not UTF-8 text"),
    ],
)
def test_an_engine_that_makes_no_sense_is_told(
    red: Path, capsys: pytest.CaptureFixture[str], engine: str, words: str
) -> None:
    assert main(["detect", str(red), "--engine", engine]) != 0
    assert words in capsys.readouterr().err


def test_a_model_of_any_name_is_found(red: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, labels = tmp_path / "my #1, {2} ${3} \u20ac \U0001f600.onnx", tmp_path / "\U0001f600.txt"
    model.write_bytes(make.pooling([1, 3, 8, 8]))
    labels.write_text("red\ngreen\nblue\n")
    (found,) = seen(capsys, red, "--model", model, "--labels", labels, "--engine", "onnx")
    assert found["label"] == "red"


def test_a_name_that_is_empty_is_not_taken_for_the_default(red: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a variable that a script did not set."""
    assert main(["detect", str(red), "--model", ""]) == 78
    assert "no model is called ''" in capsys.readouterr().err


def test_images_of_one_name_are_all_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From two folders, or as PNG and JPEG; and none takes the name that another was given for that."""
    model = pose_model(tmp_path / "pose.onnx")
    images = [tmp_path / name for name in ("gate.png", "yard/gate.png", "gate.jpg", "gate-2.png")]
    for path, grey in zip(images, (10, 90, 170, 250), strict=True):
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((120, 160, 3), grey, np.uint8))
    drawn = tmp_path / "drawn"
    seen(capsys, *images, "--model", model, "--engine", "onnx", "--save", drawn)
    greys = {path.name: cv2.imread(str(path))[0, 0, 0].item() for path in drawn.iterdir()}  # type: ignore[index]
    assert greys == {"gate.jpg": 10, "gate-2.jpg": 90, "gate-3.jpg": 170, "gate-2-2.jpg": 250}


@pytest.mark.parametrize("form", ["--json", "--score=0.5"])
def test_a_picture_that_cannot_be_read_takes_no_other_with_it(
    red: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """It is named, the others are told of, and the status says that one is missing."""
    model, torn = pose_model(tmp_path / "pose.onnx"), tmp_path / "torn.jpg"
    torn.write_text("no picture")
    assert main(["detect", str(red), str(torn), str(red), "--model", str(model), "--engine", "onnx", form]) == 1
    said = capsys.readouterr()
    assert said.out.count("person") == 2
    assert said.err.startswith(f"edgerun: {torn} is not there, or is no picture")
    if form == "--json":
        assert [one["image"] for one in json.loads(said.out)] == [str(red)] * 2


def test_what_was_found_is_told_where_the_end_comes_early(red: Path, tmp_path: Path) -> None:
    """With --json, too: as many pictures may have been looked at before the disk for the drawings is full."""
    model, drawn = pose_model(tmp_path / "pose.onnx"), tmp_path / "drawn"
    (drawn / "other.jpg").mkdir(parents=True)
    other = tmp_path / "other.png"
    other.write_bytes(red.read_bytes())
    done = edgerun("detect", red, other, "--model", model, "--engine", "onnx", "--json", "--save", drawn)
    assert done.returncode == 1
    assert done.stderr
    assert [one["image"] for one in json.loads(done.stdout)] == [str(red), str(other)]


def test_a_file_that_is_not_there_is_missed_in_the_same_words_everywhere(
    red: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for words in (["models", "info", "x.tflite"], ["detect", str(red), "--model", "x.tflite"]):
        assert main(words) == 78
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert "x.tflite is not there" in said[0]


@pytest.mark.parametrize("other", ["gate.jpg", "link.jpg"])
def test_originals_are_never_drawn_over(tmp_path: Path, capsys: pytest.CaptureFixture[str], other: str) -> None:
    """Not under the name of another image, and not through a link."""
    yard = tmp_path / "yard"
    yard.mkdir()
    original = tmp_path / "gate.jpg"
    cv2.imwrite(str(original), np.full((120, 160, 3), 90, np.uint8))
    before = original.read_bytes()
    (tmp_path / "link.jpg").symlink_to(original)
    images = [original, yard / other]
    cv2.imwrite(str(images[1]), np.full((120, 160, 3), 90, np.uint8))
    assert main(["detect", *map(str, images), "--save", str(tmp_path)]) == 78
    assert f"would write over {original}" in capsys.readouterr().err
    assert original.read_bytes() == before


@pytest.mark.parametrize("folder", ["file", "/proc/drawn", "file/below"])
def test_a_folder_that_cannot_be_made(
    red: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    """Is told in a sentence, before any work is done."""
    (tmp_path / "file").write_text("")
    assert main(["detect", str(red), "--save", str(tmp_path / folder)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"edgerun: {tmp_path / folder}: ")
    assert said.out == ""


def test_a_picture_that_would_take_all_memory_is_refused_in_one_line(tmp_path: Path) -> None:
    """A PNG of a few kilobytes may claim any size."""
    picture = tmp_path / "huge.png"
    cv2.imwrite(str(picture), np.zeros((7500, 7000), np.uint8))
    done = edgerun("detect", picture)
    assert done.returncode == 1
    assert done.stderr.startswith(f"edgerun: {picture} is not there, or is no picture of 50 megapixels at most")
    assert len(done.stderr.splitlines()) == 1
