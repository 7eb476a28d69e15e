"""The table of engines: a name's options and the class that runs models with them."""

from __future__ import annotations

from edgerun.engines.onnx import Onnx, OnnxOptions
from edgerun.engines.tflite import Tflite, TfliteOptions
from edgerun.plugins import Plugin
from edgerun.stages import Engine

ENGINES: dict[str, Plugin[Engine]] = {
    "onnx": Plugin(OnnxOptions, Onnx),
    "tflite": Plugin(TfliteOptions, Tflite),
}
