"""TensorRT on NVIDIA's GPUs and DLAs: ``.onnx`` models, built into an engine on the device at the first start.

Versions 10 and 11. An engine file is native code and fits one version and GPU, so foreign ones are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from edgerun.engines.exported import by_paddle
from edgerun.engines.onnx_file import onnx_metadata, refuse_unsafe_onnx
from edgerun.engines.shapes import OPEN, USUAL_SIZE, Batch, Size, picture_first, settle_input, told_size
from edgerun.engines.tensorrt_build import Precision, Recipe, built, forget, listener
from edgerun.engines.wording import one_line
from edgerun.errors import EngineError, ModelError
from edgerun.limits import Ge
from edgerun.records import dataclass
from edgerun.types import Array, ModelIO, TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorrtOptions:
    """TensorRT on the first GPU, or one of its DLA cores."""

    precision: Precision = "auto"
    """`auto`: FP16, and INT8 where the model has Q/DQ nodes, as far as this version can be told; `fp16` and `int8`
    fail where that is not possible; `model`: the types that the model is written in."""

    dla_core: Annotated[int, Ge(0)] | None = None
    """Run on this DLA core, and on the GPU what it cannot do. It needs FP16 or INT8."""

    workspace_mb: Annotated[int, Ge(0)] = 0
    """Memory that building may use for scratch, in MiB; 0: as much as there is."""

    input_size: Size | None = None
    """Width and height in pixels for a model that leaves its input size open; by default what the file says of itself,
    else 640x640."""

    batch: Batch = 1
    """How many pictures of several cameras or regions to look at in one inference, for a model that leaves that open.
    It pays on accelerators that are faster so; a batch that is not full takes as long as a full one."""

    cache_dir: Path | None = None
    """Where engines and timings are kept; by default the service's cache directory."""


class Tensorrt:
    """One engine, its context, and device memory for each tensor."""

    def __init__(self, options: TensorrtOptions, model: Path) -> None:
        if model.suffix.lower() != ".onnx":
            raise ModelError(
                f"{model}: TensorRT is given .onnx models only; edgerun builds the engine on the device, because a "
                "ready-made one is native code and fits one version and GPU."
            )
        refuse_unsafe_onnx(model)
        self._trt, self._cuda = _libraries()
        gpu = self._gpu()
        self._logger = listener(self._trt)  # the engine may complain as long as it lives
        metadata = onnx_metadata(model)
        size = options.input_size or told_size(metadata) or USUAL_SIZE
        recipe = Recipe(model, options.precision, options.dla_core, options.workspace_mb, size, options.batch)
        self._engine = self._deserialized(recipe, gpu, options.cache_dir)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError("TensorRT has not enough GPU memory for this model. Use a smaller one.", retriable=True)
        self._stream = self._checked(self._cuda.cudaStreamCreate())
        inputs, outputs = self._tensors(size, options.batch)
        self.io = ModelIO(inputs, outputs, by_paddle(model, inputs) | metadata)
        self._memory = {spec.name: self._placed(spec) for spec in (*inputs, *outputs)}
        self._outputs = [np.zeros(spec.shape, spec.dtype) for spec in outputs]

    def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See ``stages.Engine``. The outputs are overwritten by the next call."""
        kinds = self._cuda.cudaMemcpyKind
        stream = self._stream
        for spec, tensor in zip(self.io.inputs, tensors, strict=True):
            if tensor.shape != spec.shape or tensor.dtype != spec.dtype:
                raise EngineError(f"{spec.name!r} takes {spec.dtype} {spec.shape}, not {tensor.dtype} {tensor.shape}.")
            whole = np.ascontiguousarray(tensor)
            place = self._memory[spec.name]
            self._checked(
                self._cuda.cudaMemcpyAsync(place, whole.ctypes.data, whole.nbytes, kinds.cudaMemcpyHostToDevice, stream)
            )
        if not self._context.execute_async_v3(int(stream)):
            raise EngineError("TensorRT could not start the inference.", retriable=True)
        for spec, output in zip(self.io.outputs, self._outputs, strict=True):
            self._checked(
                self._cuda.cudaMemcpyAsync(
                    output.ctypes.data, self._memory[spec.name], output.nbytes, kinds.cudaMemcpyDeviceToHost, stream
                )
            )
        self._checked(self._cuda.cudaStreamSynchronize(stream))
        return self._outputs

    def close(self) -> None:
        for place in self._memory.values():
            self._checked(self._cuda.cudaFree(place))
        self._memory = {}
        self._checked(self._cuda.cudaStreamDestroy(self._stream))
        del self._context, self._engine

    def _gpu(self) -> str:
        """Name and compute capability of the GPU, for an engine fits no other."""
        if self._checked(self._cuda.cudaGetDeviceCount()) < 1:
            raise EngineError("There is no NVIDIA GPU. Use another engine.")
        facts = self._checked(self._cuda.cudaGetDeviceProperties(0))
        name = facts.name.decode(errors="replace") if isinstance(facts.name, bytes) else str(facts.name)
        return f"{name} {facts.major}.{facts.minor}"

    def _deserialized(self, recipe: Recipe, gpu: str, cache: Path | None) -> Any:
        """The engine, built anew once where a kept one is not taken."""
        runtime = self._trt.Runtime(self._logger)
        if recipe.dla_core is not None:
            runtime.DLA_core = recipe.dla_core
        for _ in range(2):
            engine = runtime.deserialize_cuda_engine(built(self._trt, self._logger, recipe, gpu, cache))
            if engine is not None:
                return engine
            forget(self._trt, recipe, gpu, cache)
        raise EngineError(f"TensorRT does not take the engine that it has just built: {self._logger.complaint}.")

    def _tensors(self, size: tuple[int, int], batch: int) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        is_input = {n: self._engine.get_tensor_mode(n) == self._trt.TensorIOMode.INPUT for n in names}
        inputs = [
            self._spec(n, settle_input(tuple(self._engine.get_tensor_shape(n)), size, batch))
            for n in names
            if is_input[n]
        ]
        for spec in inputs:
            self._context.set_input_shape(spec.name, spec.shape)
        outputs = [self._spec(n, tuple(self._context.get_tensor_shape(n))) for n in names if not is_input[n]]
        if still_open := [spec.name for spec in outputs if OPEN in spec.shape]:
            raise ModelError(
                f"The size of {', '.join(still_open)} depends on the picture, which TensorRT is not used for here. "
                "Export the model without NMS."
            )
        return picture_first(inputs), tuple(outputs)

    def _spec(self, name: str, shape: tuple[int, ...]) -> TensorSpec:
        try:
            dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name))).name
        except TypeError as error:
            raise ModelError(
                f"The tensor {name!r} is of a type that numpy does not have ({one_line(error)})."
            ) from error
        return TensorSpec(name, shape, dtype)

    def _placed(self, spec: TensorSpec) -> int:
        """Device memory for a tensor, which the context is told of."""
        place = int(self._checked(self._cuda.cudaMalloc(max(prod(spec.shape), 1) * np.dtype(spec.dtype).itemsize)))
        self._context.set_tensor_address(spec.name, place)
        return place

    def _checked(self, answer: Sequence[Any]) -> Any:
        """The value that a CUDA call gives beside its status. Raises EngineError where that is an error."""
        status, *values = answer
        if int(status) != 0:
            raise EngineError(f"CUDA failed: {getattr(status, 'name', status)}.", retriable=True)
        return values[0] if values else None


def _libraries() -> tuple[Any, Any]:
    """TensorRT and CUDA's runtime. Raises EngineError with what to install."""
    try:
        import tensorrt
    except ImportError as error:
        raise EngineError(
            "TensorRT is not installed. On a Jetson: apt install python3-libnvinfer, and make the virtual environment "
            "with --system-site-packages; elsewhere: pip install tensorrt."
        ) from error
    try:
        from cuda.bindings import runtime
    except ImportError:
        try:
            from cuda import cudart as runtime  # what cuda-python before 12.8 calls it
        except ImportError as error:
            raise EngineError("CUDA's Python bindings are not installed: pip install cuda-python.") from error
    return tensorrt, runtime
