"""Labels from files and from what models say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerun.errors import ModelError
from edgerun.models import ModelFile
from edgerun.models.labels import from_metadata, parse_labels, read_labels
from edgerun.runtime.inference.engines import labels_of
from edgerun.tracking import ClassGroups
from edgerun.types import ModelIO, TensorSpec

words = st.text(st.characters(categories=["L"]), min_size=1, max_size=8)


@given(st.lists(words, min_size=1))
def test_one_label_a_line(labels: list[str]) -> None:
    assert parse_labels("\n".join(labels) + "\n\n") == tuple(labels)


@given(st.dictionaries(st.integers(0, 99), words, min_size=1))
def test_numbered_lines_may_leave_gaps(labels: dict[int, str]) -> None:
    parsed = parse_labels("\n".join(f"{number}  {label}" for number, label in labels.items()))
    assert {number: label for number, label in enumerate(parsed) if label} == labels
    assert from_metadata({"names": str(labels)}) == parsed


def test_a_label_may_begin_with_a_digit() -> None:
    assert parse_labels("person\n3d printer\n") == ("person", "3d printer")


def test_the_background_of_tensorflows_list_is_no_class_of_an_ssd() -> None:
    """The operation that chooses the boxes does not count it; a model with other outputs may."""
    model = ModelFile("ssd", Path("ssd.tflite"), "", labels=("???", "person", "bicycle", "???"))
    picture = TensorSpec("in", (1, 300, 300, 3), "uint8", 1 / 128, 128)
    shapes: list[tuple[int, ...]] = [(1, 10, 4), (1, 10), (1, 10), (1,)]
    outputs = tuple(TensorSpec(f"out{n}", shape, "float32") for n, shape in enumerate(shapes))
    assert labels_of(model, ModelIO((picture,), outputs)) == ("person", "bicycle", "???")
    assert labels_of(model, ModelIO((picture,), outputs[:2])) == model.labels


def test_a_model_that_names_nothing_is_told_from_a_label_that_it_does_not_have() -> None:
    """Else its owner looks for what is wrong with the label."""
    with pytest.raises(ValueError, match=r"'person'; its file brings none: name a labels file under `model\.labels`"):
        ClassGroups([("person",)], ())
    with pytest.raises(ValueError, match=r"tracker\.alike: .* 'persn'; is it 'person'\?"):
        ClassGroups([("persn", "person")], ("cat", "person"))


def test_metadata_that_is_no_mapping_names_nothing() -> None:
    hostile = ["", "[" * 5000, "__import__('os').system('true')", "{1: ", "7", "{'x': 'y'}", "{999999999: 'far'}"]
    huge = f"0x{'f' * 9999}"  # Python reads it, and does not write it
    for text in (*hostile, "{[]: 'a'}", f"{{{huge}: 'a'}}", f"[{huge}]"):
        assert from_metadata({"names": text}) == ()
    assert from_metadata({"names": "['a', 'b']"}) == ("a", "b")


def test_a_labels_file_as_windows_writes_it(tmp_path: Path) -> None:
    """With a mark at its beginning, which would become a part of the first label, and no rule for it would match."""
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbfperson\r\ncat\r\n")
    assert read_labels(tmp_path / "labels.txt") == ("person", "cat")


def test_files_that_are_no_labels(tmp_path: Path) -> None:
    cases = {"empty": (b"\n\n", "names no class"), "binary": (b"\xff\xfe\x00\x81", "not UTF-8")}
    cases["long"] = (b"x\n" * 20_000, "lines")
    cases["orders"] = (b"person\ncat\x1b[2J\n", "control characters")
    for name, (content, words_said) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ModelError, match=words_said):
            read_labels(path)
    for name in ("data.yaml", "labels.JSON", "map.pbtxt"):
        (tmp_path / name).write_text("names:\n  0: person\n")
        with pytest.raises(ModelError, match="one label a line into a text file"):
            read_labels(tmp_path / name)
    with pytest.raises(ModelError, match="cannot be read"):
        read_labels(tmp_path / "none")
