"""What tests need to play an Edge TPU: the script of the stand-in for libedgetpu, and a detector "compiled" for it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from tests.shared_media import SHARED

CLASSIFIER = SHARED / "models" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"
PLAIN = SHARED / "models" / "coco_ssd_mobilenet_v1_quant.tflite"


def write_script(path: Path, lines: Mapping[str, int]) -> None:
    """Tell the stand-in how to behave from now on; ``EDGETPU_SCRIPT`` names the file. See edgetpu.c."""
    new = path.with_suffix(".new")
    new.write_text("".join(f"{word} {value}\n" for word, value in lines.items()))
    new.replace(path)


def compiled_detector(folder: Path) -> Path:
    """An SSD whose last operation bears the name that the Edge TPU's compiler gives: the stand-in answers for it."""
    content = bytearray(PLAIN.read_bytes())
    plain, compiled = b"TFLite_Detection_PostProcess", b"edgetpu-custom-op"
    mark = struct.pack("<I", len(plain)) + plain + b"\0"  # a flatbuffer's string; its last use is the operation's name
    place = content.rfind(mark)
    content[place : place + len(mark)] = (struct.pack("<I", len(compiled)) + compiled).ljust(len(mark), b"\0")
    path = folder / "detector_edgetpu.tflite"
    path.write_bytes(content)
    return path
