"""Pictures: a camera's planes to a model's input tensor, to BGR, to JPEG.

Colour follows BT.601, as OpenCV's I420 conversion does. That conversion expects limited range (luma 16-235); full
range planes, which most JPEG cameras and some H.264 ones send, are brought to limited range first, at the small
size. Chroma is taken as centred between its luma samples; the quarter pixel by which H.264 differs is ignored.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgerun.quant import pixel_table
from edgerun.records import dataclass
from edgerun.types import U8, Array, Box, Fit, FitMode, Frame, InputLayout, ModelIO

cv2.setNumThreads(1)  # cameras and workers are the parallelism; OpenCV's own threads cost more CPU than they save


def _even(n: int) -> int:
    return n + n % 2


@dataclass(frozen=True, slots=True)
class _Placement:
    """Where a crop of the frame goes: ``crop`` in frame pixels, content size and offset in tensor pixels."""

    crop: Box
    width: int
    height: int
    left: int
    top: int
    fit: Fit


def _place(size: tuple[int, int], region: Box | None, tensor: tuple[int, int], mode: FitMode) -> _Placement:
    """Lay ``region`` of a frame of ``size`` (w, h) into a ``tensor`` (w, h).

    The crop is widened to even pixels, where chroma samples begin, and the content is made even, since I420 is
    converted in blocks of 2x2; the Fit tells what was really done. Raises ValueError for a region outside the frame.
    """
    x1, y1, x2, y2 = region or (0, 0, *size)
    x1, y1 = max(x1 - x1 % 2, 0), max(y1 - y1 % 2, 0)
    x2, y2 = min(_even(x2), size[0]), min(_even(y2), size[1])
    if x2 <= x1 or y2 <= y1:
        raise ValueError(f"region {region} lies outside a frame of {size[0]}x{size[1]} pixels")
    width, height = _even(tensor[0]), _even(tensor[1])
    left = top = 0
    if mode != "stretch":
        scale = min(tensor[0] / (x2 - x1), tensor[1] / (y2 - y1))
        width = min(max(2 * round((x2 - x1) * scale / 2), 2), width)
        height = min(max(2 * round((y2 - y1) * scale / 2), 2), height)
        if mode == "letterbox":
            left, top = max(tensor[0] - width, 0) // 2, max(tensor[1] - height, 0) // 2
    scale_x, scale_y = width / (x2 - x1), height / (y2 - y1)
    fit = Fit(scale_x, scale_y, left - x1 * scale_x, top - y1 * scale_y, (x1, y1, x2, y2))
    return _Placement((x1, y1, x2, y2), width, height, left, top, fit)


def _i420_views(packed: U8, width: int, height: int) -> tuple[U8, U8, U8, U8]:
    """Views of a flat buffer: the (H*3/2, W) picture OpenCV converts, and its three planes. Even sizes."""
    luma, chroma = width * height, width * height // 4
    half = (height // 2, width // 2)
    return (
        packed[: luma + 2 * chroma].reshape(height * 3 // 2, width),
        packed[:luma].reshape(height, width),
        packed[luma : luma + chroma].reshape(half),
        packed[luma + chroma : luma + 2 * chroma].reshape(half),
    )


def _to_limited(luma: U8, chroma: U8) -> None:
    """Full range to limited range, in place: luma 0-255 to 16-235, chroma around 128 by 224/255 (ITU-T T.871)."""
    cv2.convertScaleAbs(luma, dst=luma, alpha=219 / 255, beta=16)
    cv2.convertScaleAbs(chroma, dst=chroma, alpha=224 / 255, beta=128 - 128 * 224 / 255)


class TensorWriter:
    """Writes frames into one model's input, for one thread: its buffers are reused by every call."""

    def __init__(self, io: ModelIO, layout: InputLayout) -> None:
        """Raises ValueError where the input is not a colour picture of known size."""
        spec = io.inputs[0]
        self._planar = io.channels_first
        self._size = width, height = io.size if len(spec.shape) == 4 else (0, 0)
        if min(width, height) < 1 or spec.shape[1 if self._planar else 3] != 3:
            raise ValueError(f"input {spec.name!r} of shape {list(spec.shape)} is not one colour picture of known size")
        self._shape = (1, *spec.shape[1:])
        self._layout = layout
        self._table = pixel_table(spec, layout)
        self._dtype = np.dtype(spec.dtype)
        pad = self._table.table[layout.pad_value]
        self._pad: Array = pad.reshape(3, 1, 1) if self._planar else np.tile(pad, (width, 1))
        self._gain = np.tile(self._table.gain, _even(width))
        self._bias = np.tile(self._table.bias, _even(width)) if self._table.bias.any() else None
        area = _even(width) * _even(height)
        self._packed: U8 = np.empty(area * 3 // 2, np.uint8)
        self._pixels: U8 = np.empty(area * 3, np.uint8)
        self._resized: U8 = np.empty(area * 3, np.uint8)
        self._channels: U8 = np.empty(area * 3, np.uint8)
        to_rgb, to_bgr = cv2.COLOR_YUV2RGB_I420, cv2.COLOR_YUV2BGR_I420
        self._from_i420 = to_rgb if layout.color == "rgb" else to_bgr
        self._key: tuple[int, int, Box | None] | None = None
        self._place: _Placement
        self._i420: tuple[U8, U8, U8, U8]

    def write(self, frame: Frame, out: Array, region: Box | None = None) -> Fit:
        """Lay the frame, or ``region`` of it (x1 y1 x2 y2 in frame pixels), into ``out``.

        ``out`` is one batch item with its leading axis, (1,H,W,3) or (1,3,H,W) in the input's dtype, and may be a
        view of shared memory; every element is written, pads included. Raises ValueError where ``out`` or the
        region does not fit.
        """
        if out.shape != self._shape or out.dtype != self._dtype:
            raise ValueError(f"expected {self._dtype} {self._shape}, got {out.dtype} {out.shape}")
        key = (frame.stamp.width, frame.stamp.height, region)
        if key != self._key:
            self._place = _place(key[:2], region, self._size, self._layout.fit)
            self._i420 = _i420_views(self._packed, self._place.width, self._place.height)
            self._key = key
        place = self._place
        image = out[0]
        self._fill_pads(image, place)
        rows = slice(place.top, place.top + place.height)
        columns = slice(place.left, place.left + place.width)
        if self._planar:
            self._store_planar(self._convert(frame, place, None), image[:, rows, columns])
        else:
            content = image[rows, columns]
            direct = self._dtype.itemsize == 1 and content.shape[:2] == (place.height, place.width)
            self._store(self._convert(frame, place, content.view(np.uint8) if direct else None), content)
        return place.fit

    def _fill_pads(self, image: Array, place: _Placement) -> None:
        """Pads are written each time (5 us for 300x300 bytes): a slot may come from another camera's picture."""
        if place.width >= self._size[0] and place.height >= self._size[1]:
            return
        bottom, right = place.top + place.height, place.left + place.width
        if self._planar:
            image[:, : place.top] = image[:, bottom:] = self._pad
            image[:, :, : place.left] = image[:, :, right:] = self._pad
        else:
            image[: place.top] = image[bottom:] = self._pad
            image[:, : place.left] = self._pad[: place.left]
            image[:, right:] = self._pad[right:]

    def _convert(self, frame: Frame, place: _Placement, target: U8 | None) -> U8:
        """The crop as (h,w,3) pixels in the layout's channel order, in ``target`` or else in a buffer."""
        size = place.width, place.height
        x1, y1, x2, y2 = place.crop
        if target is None:
            target = self._pixels[: size[0] * size[1] * 3].reshape(size[1], size[0], 3)
        if frame.pixel_format == "i420":
            packed, y, u, v = self._i420
            half = slice(y1 // 2, (y2 + 1) // 2), slice(x1 // 2, (x2 + 1) // 2)
            small_size = size[0] // 2, size[1] // 2
            cv2.resize(frame.planes[0][y1:y2, x1:x2], size, dst=y)
            cv2.resize(frame.planes[1][half], small_size, dst=u)
            cv2.resize(frame.planes[2][half], small_size, dst=v)
            if frame.full_range:
                _to_limited(y, packed[size[1] :])
            cv2.cvtColor(packed, self._from_i420, dst=target)
        elif frame.pixel_format[:3] == self._layout.color:
            cv2.resize(frame.planes[0][y1:y2, x1:x2], size, dst=target)
        else:
            small = self._resized[: target.size].reshape(target.shape)
            cv2.resize(frame.planes[0][y1:y2, x1:x2], size, dst=small)
            cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=target)
        return target

    def _store(self, pixels: U8, content: Array) -> None:
        """(h,w,3) pixels to stored values in ``content`` (h,w,3); ``pixels`` may be the same memory."""
        height, width = content.shape[:2]
        pixels = pixels[:height, :width]
        kind = self._table.kind
        if kind == "float":
            flat, cells = content.reshape(height, -1), pixels.reshape(height, -1)
            np.multiply(cells, self._gain[: flat.shape[1]], out=flat, casting="same_kind")
            if self._bias is not None:
                np.add(flat, self._bias[: flat.shape[1]], out=flat, casting="same_kind")
        elif kind == "lut":
            cv2.LUT(pixels, self._table.table[None], dst=content)
        elif kind == "xor":
            np.bitwise_xor(pixels, 0x80, out=content.view(np.uint8))
        elif not np.may_share_memory(pixels, content):
            content[...] = pixels

    def _store_planar(self, pixels: U8, content: Array) -> None:
        """(h,w,3) pixels to stored values in ``content`` (3,h,w)."""
        height, width = content.shape[1:]
        channels = self._channels[: content.size].reshape(content.shape)
        np.copyto(channels, pixels[:height, :width].transpose(2, 0, 1))
        table = self._table
        for c in range(3):
            if table.kind == "float":
                np.multiply(channels[c], table.gain[c], out=content[c], casting="same_kind")
                if table.bias[c]:
                    content[c] += table.bias[c]
            elif table.kind == "lut":
                cv2.LUT(channels[c], np.ascontiguousarray(table.table[:, c]), dst=content[c])
            elif table.kind == "xor":
                np.bitwise_xor(channels[c], 0x80, out=content[c].view(np.uint8))
            else:
                content[c] = channels[c]


def luma(frame: Frame) -> U8:
    """Brightness (H,W) u8: the decoder's own plane where the frame is I420, else computed."""
    if frame.pixel_format == "i420":
        return frame.planes[0]
    code = cv2.COLOR_BGR2GRAY if frame.pixel_format == "bgr24" else cv2.COLOR_RGB2GRAY
    return np.asarray(cv2.cvtColor(frame.planes[0], code), np.uint8)


def to_bgr(frame: Frame) -> U8:
    """The whole frame as a new BGR picture (H,W,3), for snapshots."""
    if frame.pixel_format != "i420":
        picture = frame.planes[0]
        swapped = picture if frame.pixel_format == "bgr24" else picture[:, :, ::-1]
        return np.array(swapped, order="C")
    height, width = frame.planes[0].shape
    size = _even(width), _even(height)
    packed, *planes = _i420_views(np.empty(size[0] * size[1] * 3 // 2, np.uint8), *size)
    for source, whole in zip(frame.planes, planes, strict=True):
        whole[: source.shape[0], : source.shape[1]] = source  # of an odd size, the rest is cut off again below
    if frame.full_range:
        _to_limited(planes[0], packed[size[1] :])
    bgr = cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_I420)
    return np.asarray(bgr[:height, :width], np.uint8)


def jpeg(bgr: U8, quality: int = 85) -> bytes:
    """A BGR picture (H,W,3) as JPEG; ``quality`` 1-100. Raises ValueError where it cannot be encoded."""
    return _encoded(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])


def png(bgr: U8) -> bytes:
    """A BGR picture (H,W,3) as PNG. Raises ValueError where it cannot be encoded."""
    return _encoded(".png", bgr, [])


def _encoded(kind: str, bgr: U8, terms: list[int]) -> bytes:
    done, encoded = cv2.imencode(kind, bgr, terms)
    if not done:
        raise ValueError(f"a picture of shape {bgr.shape} cannot be written as {kind}")
    return bytes(encoded)
