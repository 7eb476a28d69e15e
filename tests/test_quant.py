"""Quantized tensors: round trips, thresholds in the stored domain, and pixels to tensors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerun.quant import dequantize, lowest_stored, pixel_table, quantize
from edgerun.types import InputLayout, TensorSpec

SSD = InputLayout(mean=(127.5,) * 3, std=(127.5,) * 3)
scales = st.floats(1e-5, 10, allow_nan=False)


@given(scales, st.integers(0, 255), st.lists(st.integers(0, 255), min_size=1))
def test_stored_values_survive_the_round_trip(scale: float, zero_point: int, stored: list[int]) -> None:
    spec = TensorSpec("x", (len(stored),), "uint8", scale, zero_point)
    values = np.array(stored, np.uint8)
    assert np.array_equal(quantize(dequantize(values, spec), spec), values)


@given(scales, st.integers(-128, 127), st.lists(st.floats(-100, 100), min_size=1))
def test_quantize_clips_and_errs_by_half_a_step_at_most(scale: float, zero_point: int, real: list[float]) -> None:
    spec = TensorSpec("x", (len(real),), "int8", scale, zero_point)
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    values = np.array(real)
    back = dequantize(quantize(values, spec), spec)
    assert np.all(np.abs(back - np.clip(values, low, high)) <= scale * 0.5001 + 1e-5 * np.abs(back))


@given(st.sampled_from([1 / 256, 1 / 255, 0.003, 0.0123]), st.integers(0, 30), st.floats(0, 2))
def test_a_threshold_on_stored_values_selects_what_it_selects_on_real_ones(
    scale: float, zero: int, score: float
) -> None:
    spec = TensorSpec("scores", (256,), "uint8", scale, zero)
    stored = np.arange(256, dtype=np.uint8)
    assert np.array_equal(stored >= lowest_stored(score, spec), (stored.astype(float) - zero) * scale >= score - 1e-9)


def test_plain_bytes_are_recognised() -> None:
    assert pixel_table(TensorSpec("i", (1, 8, 8, 3), "uint8", 1 / 128, 128), SSD).kind == "identity"
    assert pixel_table(TensorSpec("i", (1, 8, 8, 3), "uint8", 1 / 127.5, 127), SSD).kind == "identity"
    assert pixel_table(TensorSpec("i", (1, 8, 8, 3), "uint8"), SSD).kind == "identity"
    unit = InputLayout(std=(255.0,) * 3)
    assert pixel_table(TensorSpec("i", (1, 8, 8, 3), "int8", 1 / 255, -128), unit).kind == "xor"


def test_a_table_where_bytes_would_be_wrong() -> None:
    spec = TensorSpec("i", (1, 8, 8, 3), "uint8", 0.02, 100)
    made = pixel_table(spec, SSD)
    assert made.kind == "lut"
    assert made.table.dtype == np.uint8
    assert made.table[200, 1] == round((200 - 127.5) / 127.5 / 0.02) + 100


def test_floats_are_scaled_and_shifted() -> None:
    made = pixel_table(TensorSpec("i", (1, 8, 8, 3), "float32"), SSD)
    assert made.kind == "float"
    assert 255 * made.gain[0] + made.bias[0] == pytest.approx(1)
    assert made.bias[0] == pytest.approx(-1)


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint64", "int8", "int16"])
def test_a_tensor_that_holds_no_picture_is_refused(dtype: str) -> None:
    """Among them whole numbers that pixels are not looked up for, and signed ones of a scale that nobody tells."""
    with pytest.raises(ValueError, match="cannot hold a picture"):
        pixel_table(TensorSpec("flag", (1,), dtype), SSD)


def test_a_threshold_on_floats_is_the_threshold() -> None:
    spec = TensorSpec("scores", (3,), "float32")
    assert lowest_stored(0.5, spec) == 0.5
