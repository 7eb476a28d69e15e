"""The table of engines: a name's options and the class that runs models with them."""

from __future__ import annotations

from edgerun.plugins import Table
from edgerun.stages import Engine

ENGINES: Table[Engine] = Table(
    __name__,
    {
        "edgetpu": "edgetpu.Edgetpu",
        "executorch": "executorch.Executorch",
        "ncnn": "ncnn.Ncnn",
        "onnx": "onnx.Onnx",
        "openvino": "openvino.Openvino",
        "remote": "remote.Remote",
        "tensorrt": "tensorrt.Tensorrt",
        "tflite": "tflite.Tflite",
    },
)
