"""ONNX Runtime: ``.onnx`` models on the CPU, or on what its execution providers reach."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from edgerun.engines.caches import cache_directory
from edgerun.engines.exported import by_paddle
from edgerun.engines.onnx_file import refuse_unsafe_onnx
from edgerun.engines.shapes import (
    OPEN,
    USUAL_SIZE,
    Batch,
    Size,
    picture_first,
    refuse_unscaled,
    settle_input,
    settled,
    told_size,
)
from edgerun.engines.wording import one_line
from edgerun.errors import EngineError, ModelError
from edgerun.limits import NOT_EMPTY, Ge
from edgerun.records import dataclass
from edgerun.types import Array, ModelIO, TensorSpec

log = logging.getLogger(__name__)

Provider = Literal["cpu", "cuda", "tensorrt", "openvino", "xnnpack", "acl", "qnn", "migraphx", "coreml", "directml"]

_PROVIDERS: Final[Mapping[Provider, str]] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "acl": "ACLExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
_DTYPES: Final = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxOptions:
    providers: Annotated[tuple[Provider, ...], NOT_EMPTY] = ("cpu",)
    """Execution providers in the order to try them; each has to prove itself by an inference of the model."""
    threads: Annotated[int, Ge(1)] = 1
    """CPU threads for one inference. More than there are free cores makes it slower."""
    input_size: Size | None = None
    """Width and height in pixels for a model that leaves its input size open; by default what the file says of itself,
    else 640x640."""
    batch: Batch = 1
    """How many pictures of several cameras or regions to look at in one inference, for a model that leaves that open.
    It pays on accelerators that are faster so; a batch that is not full takes as long as a full one."""
    fp16: bool = True
    """Let the ``tensorrt`` provider compute in half precision."""
    int8: bool = False
    """Let the ``tensorrt`` provider use INT8 where the model has Q/DQ nodes."""
    dla_core: Annotated[int, Ge(0)] | None = None
    """Run the ``tensorrt`` provider on this DLA core instead of the GPU."""
    cache_dir: Path | None = None
    """Where the ``tensorrt`` provider keeps engines and timings; by default the service's cache directory."""
    provider_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Further options by provider, as ONNX Runtime names them: ``{cuda: {device_id: "1"}}``."""


class Onnx:
    """One ``.onnx`` model in an ONNX Runtime session.

    ``provider`` is the execution provider that proved itself; the reasons against those before it are logged.
    Weights outside the file are refused before the file is parsed.
    """

    def __init__(self, options: OnnxOptions, model: Path) -> None:
        refuse_unsafe_onnx(model)
        try:
            import onnxruntime
            from onnxruntime.capi import onnxruntime_pybind11_state as state
        except ImportError as error:
            raise EngineError("ONNX Runtime is not installed. Install it with: pip install 'edgerun[onnx]'.") from error
        self._ort = onnxruntime
        # The classes share no base but Exception; each has its own name in this module.
        own = tuple(e for e in vars(state).values() if isinstance(e, type) and issubclass(e, Exception))
        self._errors: tuple[type[Exception], ...] = (*own, RuntimeError, ValueError)
        onnxruntime.set_default_logger_severity(3)  # warnings about fall-backs are told by the proof below
        reasons: list[str] = []
        for provider in options.providers:
            try:
                self._session, self.io = self._prove(provider, options, model)
            except EngineError as error:
                log.warning("ONNX Runtime does without %s: %s", provider, error)
                reasons.append(f"{provider}: {error}")
                continue
            self.provider: Provider = provider
            break
        else:
            raise EngineError(f"No execution provider of ONNX Runtime could run {model.name}. " + " ".join(reasons))
        self._names = [spec.name for spec in self.io.inputs]

    def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See ``stages.Engine``."""
        return self._run(self._session, self._names, tensors)

    def close(self) -> None:
        del self._session

    def _prove(self, provider: Provider, options: OnnxOptions, model: Path) -> tuple[Any, ModelIO]:
        name = _PROVIDERS[provider]
        available = self._ort.get_available_providers()
        if name not in available:
            raise EngineError(f"this build of ONNX Runtime has no {name}; it has {', '.join(available)}.")
        session = self._load(name, _provider_options(provider, options), options.threads, model)
        if session.get_providers()[0] != name:
            raise EngineError(f"{name} could not be set up; ONNX Runtime fell back to {session.get_providers()[0]}.")
        metadata = dict(session.get_modelmeta().custom_metadata_map)
        size = options.input_size or told_size(metadata) or USUAL_SIZE
        inputs = picture_first([_spec(entry, size, options.batch) for entry in session.get_inputs()])
        run = partial(self._run, session, [spec.name for spec in inputs])
        outputs = settled(run, inputs, [(entry.name, _dimensions(entry)) for entry in session.get_outputs()])
        refuse_unscaled(outputs)
        return session, ModelIO(inputs, outputs, by_paddle(model, inputs) | metadata)

    def _load(self, name: str, options: Mapping[str, str], threads: int, model: Path) -> Any:
        settings = self._ort.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.execution_mode = self._ort.ExecutionMode.ORT_SEQUENTIAL
        # Spinning burns several times the inference's own CPU time while a camera is between frames.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
        settings.enable_cpu_mem_arena = False
        settings.log_severity_level = 3
        try:
            return self._ort.InferenceSession(
                str(model), settings, providers=[(name, dict(options))], enable_fallback=0
            )
        except self._errors as error:
            kind: type[ModelError | EngineError] = ModelError if name == _PROVIDERS["cpu"] else EngineError
            raise kind(f"{model}: ONNX Runtime cannot load it ({one_line(error)}).") from error

    def _run(self, session: Any, names: Sequence[str], tensors: Sequence[Array]) -> Sequence[Array]:
        try:
            outputs: Sequence[Array] = session.run(None, dict(zip(names, tensors, strict=True)))
        except self._errors as error:
            raise EngineError(f"ONNX Runtime failed during inference: {one_line(error)}") from error
        return outputs


def _provider_options(provider: Provider, options: OnnxOptions) -> dict[str, str]:
    """The options of one provider, as ONNX Runtime's documentation of that provider names them."""
    chosen: dict[str, str] = {}
    if provider == "tensorrt":
        try:
            cache = str(cache_directory(options.cache_dir, "onnx-tensorrt"))
        except OSError as error:
            raise EngineError(f"the cache for TensorRT engines cannot be made ({error}); set cache_dir.") from error
        chosen = {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": cache,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": cache,
            "trt_fp16_enable": str(int(options.fp16)),
            "trt_int8_enable": str(int(options.int8)),
        }
        if options.dla_core is not None:
            chosen |= {"trt_dla_enable": "1", "trt_dla_core": str(options.dla_core)}
    return {**chosen, **options.provider_options.get(provider, {})}


def _dimensions(entry: Any) -> tuple[int, ...]:
    """Symbolic dimensions come as a name or None."""
    return tuple(n if isinstance(n, int) and n > 0 else OPEN for n in entry.shape or ())


def _spec(entry: Any, size: tuple[int, int], batch: int) -> TensorSpec:
    if entry.type not in _DTYPES:
        raise ModelError(f"The input {entry.name!r} takes {entry.type}, which is no picture. Is this a detector?")
    return TensorSpec(entry.name, settle_input(_dimensions(entry), size, batch), _DTYPES[entry.type])
