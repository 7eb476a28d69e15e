"""Planes to tensors: the right pixels, at the right place, in every dtype and layout."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerun import images
from edgerun.images import TensorWriter
from edgerun.types import U8, Array, Box, FitMode, Frame, InputLayout, ModelIO, Stamp, TensorSpec

MODES: list[FitMode] = ["stretch", "letterbox", "letterbox-topleft"]
FLOAT_LAYOUT = InputLayout(mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))
TENSORS = [
    pytest.param(TensorSpec("i", (1, 120, 160, 3), "uint8", 1.0, 0), InputLayout(), id="uint8-bytes"),
    pytest.param(TensorSpec("i", (1, 120, 160, 3), "int8", 1 / 255, -128), InputLayout(std=(255,) * 3), id="int8-xor"),
    pytest.param(TensorSpec("i", (1, 120, 160, 3), "uint8", 0.02, 114), FLOAT_LAYOUT, id="uint8-table"),
    pytest.param(TensorSpec("i", (1, 120, 160, 3), "int8", 0.02, -14), FLOAT_LAYOUT, id="int8-table"),
    pytest.param(TensorSpec("i", (1, 120, 160, 3), "float32"), InputLayout(std=(255,) * 3), id="float32-scale"),
    pytest.param(TensorSpec("i", (1, 120, 160, 3), "float32"), FLOAT_LAYOUT, id="float32-mean-std"),
    pytest.param(TensorSpec("i", (1, 120, 160, 3), "float16"), FLOAT_LAYOUT, id="float16"),
]


def stamp(width: int, height: int) -> Stamp:
    return Stamp("porch", 0, 0.0, 0.0, width, height)


def i420(bgr: U8, *, full_range: bool = False) -> Frame:
    """A frame in planes from an even-sized BGR picture, by OpenCV's own conversion (limited range)."""
    height, width = bgr.shape[:2]
    flat = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8).reshape(-1)
    luma, half = height * width, (height // 2, width // 2)
    y = flat[:luma].reshape(height, width)
    u = flat[luma : luma * 5 // 4].reshape(half)
    v = flat[luma * 5 // 4 :].reshape(half)
    if full_range:
        y = np.clip((y.astype(np.float32) - 16) * 255 / 219, 0, 255).round().astype(np.uint8)
        u, v = (np.clip((c - 128.0) * 255 / 224 + 128, 0, 255).round().astype(np.uint8) for c in (u, v))
    return Frame(stamp(width, height), "i420", (y, u, v), full_range)


def packed(bgr: U8) -> Frame:
    return Frame.of_bgr(bgr, "camera")


def picture(width: int, height: int) -> U8:
    """Soft colours, so that chroma at half size loses little."""
    seed = np.random.default_rng(1).integers(40, 215, (5, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(seed, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def transposed(spec: TensorSpec) -> TensorSpec:
    n, h, w, c = spec.shape
    return TensorSpec(spec.name, (n, c, h, w), spec.dtype, spec.scale, spec.zero_point)


def written(frame: Frame, spec: TensorSpec, layout: InputLayout, region: Box | None = None) -> Array:
    out = np.full(spec.shape, 77, spec.dtype)
    TensorWriter(ModelIO((spec,), ()), layout).write(frame, out, region)
    return out


def tensor_pixels(out: Array, spec: TensorSpec, layout: InputLayout) -> Array:
    """Stored values back to pixels 0-255, NHWC."""
    real = (out.astype(np.float64) - spec.zero_point) * (spec.scale or 1.0)
    pixels: Array = real * np.array(layout.std) + np.array(layout.mean)
    return pixels


@pytest.mark.parametrize(("spec", "layout"), TENSORS)
def test_a_frame_in_planes_gives_the_pixels_of_the_same_frame_in_bgr(spec: TensorSpec, layout: InputLayout) -> None:
    bgr = picture(320, 240)
    wanted = cv2.resize(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), (160, 120))
    for frame in (i420(bgr), i420(bgr, full_range=True), packed(bgr)):
        pixels = tensor_pixels(written(frame, spec, layout), spec, layout)[0]
        assert np.abs(pixels - wanted).mean() < 2.0
        assert np.abs(pixels - wanted).max() < 12.0


@pytest.mark.parametrize(("spec", "layout"), TENSORS)
@pytest.mark.parametrize("mode", MODES)
def test_channels_first_holds_the_same_values(spec: TensorSpec, layout: InputLayout, mode: FitMode) -> None:
    layout = InputLayout("bgr", mode, layout.mean, layout.std)
    frame = i420(picture(320, 180))
    last = written(frame, spec, layout, (31, 40, 203, 151))
    first = written(frame, transposed(spec), layout, (31, 40, 203, 151))
    assert np.array_equal(first.transpose(0, 2, 3, 1), last)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(320, 240), (321, 239)])
def test_pads_hold_the_pad_value_and_nothing_of_what_was_there_before(mode: FitMode, size: tuple[int, int]) -> None:
    spec = TensorSpec("i", (1, size[1], size[0], 3), "int8", 1 / 255, -128)
    frame = i420(np.full((100, 400, 3), 255, np.uint8))
    out = np.full(spec.shape, 5, np.int8)
    writer = TensorWriter(ModelIO((spec,), ()), InputLayout(std=(255,) * 3, fit=mode))
    fit = writer.write(frame, out)
    rows = (out[0] == 114 - 128).all(axis=(1, 2))
    assert rows.sum() == (0 if mode == "stretch" else size[1] - round(fit.scale_y * 100))
    assert (out[0][~rows][:, :320] > 120).all()
    assert mode != "letterbox-topleft" or not rows[0]


def test_one_writer_serves_changing_regions_sizes_and_slots() -> None:
    """A letterbox must leave nothing of an earlier, larger picture in a slot."""
    spec = TensorSpec("i", (1, 128, 128, 3), "uint8")
    writer = TensorWriter(ModelIO((spec,), ()), InputLayout(fit="letterbox"))
    slots = [np.zeros(spec.shape, np.uint8) for _ in range(2)]
    for n, (size, region) in enumerate([((200, 100), None), ((100, 200), None), ((200, 100), (0, 0, 50, 100))] * 2):
        frame = i420(picture(*size))
        writer.write(frame, slots[n % 2], region)
        assert np.array_equal(slots[n % 2], written(frame, spec, InputLayout(fit="letterbox"), region))


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    size=st.tuples(st.integers(80, 400), st.integers(80, 400)),
    tensor=st.tuples(st.integers(64, 330), st.integers(64, 330)),
    corner=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
    whole=st.booleans(),
)
def test_a_box_found_in_the_tensor_comes_back_to_where_it_is_in_the_frame(
    mode: FitMode, size: tuple[int, int], tensor: tuple[int, int], corner: tuple[float, float], whole: bool
) -> None:
    """A white block on black is found in the tensor and mapped back: within a pixel of frame or tensor."""
    width, height = size
    x1, y1 = round(corner[0] * width), round(corner[1] * height)
    x2, y2 = x1 + 3 * width // 8, y1 + 3 * height // 8
    y = np.full((height, width), 16, np.uint8)
    y[y1:y2, x1:x2] = 235
    grey = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    frame = Frame(stamp(width, height), "i420", (y, grey, grey))
    region = None if whole else (max(x1 - 9, 0), max(y1 - 7, 0), min(x2 + 11, width), min(y2 + 10, height))
    spec = TensorSpec("i", (1, tensor[1], tensor[0], 3), "uint8")
    out = np.empty(spec.shape, np.uint8)
    fit = TensorWriter(ModelIO((spec,), ()), InputLayout(fit=mode, pad_value=0)).write(frame, out, region)
    bright = out[0, :, :, 1] > 127
    columns, rows = np.flatnonzero(bright.any(axis=0)), np.flatnonzero(bright.any(axis=1))
    found = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float32)
    back = fit.to_frame(found)[0]
    allowed = np.maximum(1.0, 1.01 / np.array([fit.scale_x, fit.scale_y] * 2))
    assert (np.abs(back - [x1, y1, x2, y2]) <= allowed).all(), (back, [x1, y1, x2, y2])


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("region", [None, (20, 10, 150, 96), (200, 120, 320, 240), (31, 140, 121, 239)])
def test_a_region_has_its_own_colours_in_whatever_form_the_frame_comes(
    color: Literal["rgb", "bgr"], region: Box | None
) -> None:
    bgr = picture(320, 240)
    rgb = np.ascontiguousarray(bgr[:, :, ::-1])
    x1, y1, x2, y2 = region or (0, 0, 320, 240)
    wanted = cv2.resize((rgb if color == "rgb" else bgr)[y1:y2, x1:x2], (64, 48)).astype(int)
    for frame in (i420(bgr), packed(bgr), Frame(stamp(320, 240), "rgb24", (rgb,))):
        out = written(frame, TensorSpec("i", (1, 48, 64, 3), "uint8"), InputLayout(color), region)
        assert np.abs(out[0] - wanted).mean() < 3.0


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(MODES[1:]),
    size=st.tuples(st.integers(40, 400), st.integers(40, 400)),
    tensor=st.tuples(st.integers(64, 330), st.integers(64, 330)),
    corner=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_a_letterbox_keeps_the_shape_of_what_it_shows(
    mode: FitMode, size: tuple[int, int], tensor: tuple[int, int], corner: tuple[int, int]
) -> None:
    """To a pixel of the tensor, as its sides are even; in the middle, or at the top left."""
    frame = packed(np.zeros((size[1], size[0], 3), np.uint8))
    writer = TensorWriter(ModelIO((TensorSpec("i", (1, tensor[1], tensor[0], 3), "uint8"),), ()), InputLayout(fit=mode))
    fit = writer.write(frame, np.empty((1, tensor[1], tensor[0], 3), np.uint8), (*corner, *size))
    x1, y1, x2, y2 = fit.region
    assert (x1, y1) == tuple(place - place % 2 for place in corner)
    assert (x2, y2) == size
    scale = min(tensor[0] / (x2 - x1), tensor[1] / (y2 - y1))
    for first, last, each, pad, side in ((x1, x2, fit.scale_x, fit.pad_x, tensor[0]),
                                         (y1, y2, fit.scale_y, fit.pad_y, tensor[1])):  # fmt: skip
        shown = round((last - first) * each)
        assert abs(shown - (last - first) * scale) <= 1.01
        begins = max(side - shown, 0) // 2 if mode == "letterbox" else 0
        assert first * each + pad == pytest.approx(begins, abs=1e-6)


def test_a_sliver_of_a_frame_is_shown_all_the_same() -> None:
    for region in ((0, 10, 400, 12), (10, 0, 12, 400)):
        out = np.zeros((1, 64, 64, 3), np.uint8)
        writer = TensorWriter(ModelIO((TensorSpec("i", out.shape, "uint8"),), ()), InputLayout(fit="letterbox"))
        writer.write(packed(np.full((400, 400, 3), 255, np.uint8)), out, region)
        assert np.count_nonzero((out == 255).all(axis=3)) == 2 * 64


def test_frames_of_odd_size_are_taken_whole() -> None:
    y = np.full((101, 99), 235, np.uint8)
    grey = np.full((51, 50), 128, np.uint8)
    frame = Frame(stamp(99, 101), "i420", (y, grey, grey))
    spec = TensorSpec("i", (1, 33, 31, 3), "uint8")
    assert (written(frame, spec, InputLayout()) == 255).all()
    bgr = images.to_bgr(frame)
    assert bgr.shape == (101, 99, 3)
    assert (bgr == 255).all()


@pytest.mark.parametrize("region", [(320, 0, 330, 10), (-20, -20, -4, -4), (40, 40, 40, 80)])
def test_a_region_outside_the_frame_is_refused(region: Box) -> None:
    with pytest.raises(ValueError, match="outside a frame of 320x240"):
        written(i420(picture(320, 240)), TensorSpec("i", (1, 64, 64, 3), "uint8"), InputLayout(), region)


@pytest.mark.parametrize("shape", [(1, 64, 64, 1), (1, 64, 64, 4), (1, -1, -1, 3), (1, 1000)])
def test_an_input_that_is_not_a_colour_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not one colour picture of known size"):
        TensorWriter(ModelIO((TensorSpec("i", shape, "uint8"),), ()), InputLayout())


@pytest.mark.parametrize("out", [np.empty((1, 64, 65, 3), np.uint8), np.empty((1, 64, 64, 3), np.int8)])
def test_a_slot_of_the_wrong_shape_or_type_is_refused(out: Array) -> None:
    writer = TensorWriter(ModelIO((TensorSpec("i", (1, 64, 64, 3), "uint8"),), ()), InputLayout())
    with pytest.raises(ValueError, match="expected uint8"):
        writer.write(i420(picture(64, 64)), out)


@pytest.mark.parametrize("full_range", [False, True])
def test_snapshots_show_the_colours_of_the_scene(full_range: bool) -> None:
    bgr = picture(160, 120)
    assert np.abs(images.to_bgr(i420(bgr, full_range=full_range)).astype(int) - bgr).mean() < 2.0
    rgb = Frame(stamp(160, 120), "rgb24", (np.ascontiguousarray(bgr[:, :, ::-1]),))
    assert np.array_equal(images.to_bgr(rgb), bgr)


def test_luma_is_the_decoders_own_plane() -> None:
    frame = i420(picture(160, 120))
    assert images.luma(frame) is frame.planes[0]
    assert images.luma(packed(picture(160, 120))).shape == (120, 160)


def test_luma_tells_the_colours_brightness_in_either_order_of_channels() -> None:
    blue = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    assert (images.luma(packed(blue)) == 29).all()
    assert (images.luma(Frame(stamp(8, 8), "rgb24", (blue[:, :, ::-1].copy(),))) == 29).all()
