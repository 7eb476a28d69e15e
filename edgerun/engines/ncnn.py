"""ncnn: ``.param`` with its ``.bin``, on small Arm CPUs (32-bit too) and Vulkan GPUs."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np

from edgerun.engines.exported import read_exported
from edgerun.engines.shapes import USUAL_SIZE, Size, picture_first, settled, told_size
from edgerun.errors import EngineError, ModelError
from edgerun.limits import Ge
from edgerun.records import dataclass
from edgerun.types import Array, ModelIO, TensorSpec

log = logging.getLogger(__name__)

_MAGIC: Final = "7767517"


@dataclass(frozen=True, slots=True, kw_only=True)
class NcnnOptions:
    """ncnn on the CPU, or on a GPU through Vulkan."""

    threads: Annotated[int, Ge(1)] = 1
    """CPU threads for one inference."""

    vulkan: bool = False
    """Run on the GPU. The wheel from the package index can; it needs the GPU's Vulkan driver."""

    fp16: bool = True
    """Compute in half precision where the CPU can: twice as fast on 64-bit Arm, with scores that differ a little."""

    input_size: Size | None = None
    """Width and height of the picture in pixels; by default what the model's files tell, else 640x640."""


class Ncnn:
    """One network. ncnn knows no batches: tensors get theirs here, so that heads see the shapes of the ONNX twin."""

    def __init__(self, options: NcnnOptions, model: Path) -> None:
        weights = _weights(model)
        try:
            import ncnn
        except ImportError as error:
            raise EngineError("ncnn is not installed. Install it with: pip install 'edgerun[ncnn]'.") from error
        self._ncnn = ncnn
        if options.vulkan and ncnn.get_gpu_count() < 1:
            raise EngineError("ncnn sees no GPU with Vulkan. Install its driver, or leave out vulkan.")
        ncnn.set_kmp_blocktime(0)  # waiting threads sleep: spinning between two frames costs more than the inference
        self._net = net = ncnn.Net()
        net.opt.num_threads = options.threads
        net.opt.use_vulkan_compute = options.vulkan
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = options.fp16
        if net.load_param(str(model)) != 0 or net.load_model(str(weights)) != 0:
            raise ModelError(f"{model}: ncnn cannot load it; the file is damaged or needs an operation ncnn lacks.")
        self._ins, self._outs = list(net.input_names()), list(net.output_names())
        metadata = read_exported(model.parent / "metadata.yaml")
        width, height = options.input_size or _told_size(model, metadata)
        inputs = picture_first(
            [TensorSpec(n, (1, 3, height, width) if i == 0 else (1, 1), "float32") for i, n in enumerate(self._ins)]
        )
        self.io = ModelIO(inputs, settled(self.infer, inputs, [(name, ()) for name in self._outs]), metadata)

    def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See ``stages.Engine``."""
        extractor = self._net.create_extractor()
        for name, tensor in zip(self._ins, tensors, strict=True):
            if extractor.input(name, self._ncnn.Mat(np.ascontiguousarray(tensor[0])).clone()) != 0:
                raise EngineError(f"ncnn does not take a tensor of shape {tensor.shape} for {name!r}.")
        outputs = []
        for name in self._outs:
            status, found = extractor.extract(name)
            if status != 0 or found.empty():
                raise EngineError(f"ncnn could not compute {name!r} (status {status}).", retriable=True)
            outputs.append(np.array(found, np.float32)[None])
        return outputs

    def close(self) -> None:
        self._net.clear()


def _weights(model: Path) -> Path:
    """The ``.bin`` that belongs to a ``.param`` file; both are there and the first is one of ncnn's text files."""
    if model.suffix.lower() != ".param":
        raise ModelError(f"{model}: ncnn's models are a .param and a .bin file; give the path of the .param file.")
    try:
        with model.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ModelError(f"{model}: cannot be read ({error.strerror}).") from error
    if magic != _MAGIC.encode():
        raise ModelError(f"{model}: is no ncnn model.")
    weights = model.with_suffix(".bin")
    if not weights.is_file():
        raise ModelError(f"{model}: its weights are missing; {weights.name} belongs beside it.")
    return weights


def _told_size(model: Path, metadata: Mapping[str, str]) -> tuple[int, int]:
    """Width and height, from what stands in or beside the model: ncnn itself does not need to know."""
    if size := told_size(metadata):
        return size
    text = model.read_text(encoding="utf-8", errors="replace")
    if found := re.search(r"^Input\s.*?\s0=(\d+)\s+1=(\d+)", text, re.MULTILINE):
        return int(found[1]), int(found[2])
    converter = model.with_name(model.name.replace(".ncnn.", ".pnnx."))
    if converter != model and converter.is_file():
        text = converter.read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^pnnx\.Input\s.*#\S+?=\(\d+,\d+,(\d+),(\d+)\)", text, re.MULTILINE):
            return int(found[2]), int(found[1])
    log.warning("%s does not tell the size of its input; taking %dx%d. Set input_size.", model.name, *USUAL_SIZE)
    return USUAL_SIZE
