"""The table of engines: a name's options and the class that runs models with them."""

from __future__ import annotations

from edgerun.engines.edgetpu import Edgetpu, EdgetpuOptions
from edgerun.engines.executorch import Executorch, ExecutorchOptions
from edgerun.engines.ncnn import Ncnn, NcnnOptions
from edgerun.engines.onnx import Onnx, OnnxOptions
from edgerun.engines.openvino import Openvino, OpenvinoOptions
from edgerun.engines.remote import Remote, RemoteOptions
from edgerun.engines.tensorrt import Tensorrt, TensorrtOptions
from edgerun.engines.tflite import Tflite, TfliteOptions
from edgerun.plugins import Plugin
from edgerun.stages import Engine

ENGINES: dict[str, Plugin[Engine]] = {
    "edgetpu": Plugin(EdgetpuOptions, Edgetpu),
    "executorch": Plugin(ExecutorchOptions, Executorch),
    "ncnn": Plugin(NcnnOptions, Ncnn),
    "onnx": Plugin(OnnxOptions, Onnx),
    "openvino": Plugin(OpenvinoOptions, Openvino),
    "remote": Plugin(RemoteOptions, Remote),
    "tensorrt": Plugin(TensorrtOptions, Tensorrt),
    "tflite": Plugin(TfliteOptions, Tflite),
}
