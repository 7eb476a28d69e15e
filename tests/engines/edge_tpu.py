"""What tests need to play an Edge TPU: the stand-in for libedgetpu, its script, and a detector "compiled" for it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.shared_media import SHARED

CLASSIFIER = SHARED / "models" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"
PLAIN = SHARED / "models" / "coco_ssd_mobilenet_v1_quant.tflite"


def built_library(folder: Path) -> str:
    """The stand-in, compiled; its path."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (apt install gcc)")
    library = folder / "libedgetpu-stand-in.so"
    source = Path(__file__).with_name("edgetpu.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return str(library)


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
