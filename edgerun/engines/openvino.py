"""OpenVINO: ``.xml`` with its ``.bin``, ``.onnx`` and float ``.tflite`` on Intel's CPUs, GPUs and NPUs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from edgerun.engines.caches import cache_directory
from edgerun.engines.exported import by_paddle, read_exported
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

SUFFIXES: Final = (".xml", ".onnx", ".tflite")
"""OpenVINO reads more, among it formats that run code when loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenvinoOptions:
    """OpenVINO on one device."""

    device: Annotated[str, NOT_EMPTY] = "CPU"
    """What to run on, as OpenVINO names it: `CPU`, `GPU`, `GPU.1`, `NPU`, `AUTO`."""

    threads: Annotated[int, Ge(1)] = 1
    """CPU threads for one inference."""

    precision: Literal["f32", "f16", "bf16", "auto"] = "f32"
    """What to compute in. `auto` lets the device choose: faster on new CPUs, with scores that differ a little."""

    input_size: Size | None = None
    """Width and height in pixels for a model that leaves its input size open; by default what the file says of itself,
    else 640x640."""

    batch: Batch = 1
    """How many pictures of several cameras or regions to look at in one inference, for a model that leaves that open.
    It pays on accelerators that are faster so; a batch that is not full takes as long as a full one."""

    cache_dir: Path | None = None
    """Where compiled models are kept; by default the service's cache directory."""


class Openvino:
    """One compiled model and one request. Weights outside an ``.onnx`` file are refused before it is parsed."""

    def __init__(self, options: OpenvinoOptions, model: Path) -> None:
        if model.suffix.lower() not in SUFFIXES:
            raise ModelError(
                f"{model}: OpenVINO is used for {', '.join(SUFFIXES)} files only. Export the model to one."
            )
        if not model.is_file():
            raise ModelError(f"The model file {model} is not there.")
        if model.suffix.lower() == ".onnx":
            refuse_unsafe_onnx(model)
        try:
            openvino = _library()
        except ImportError as error:
            raise EngineError("OpenVINO is not installed. Install it with: pip install 'edgerun[openvino]'.") from error
        self._core = openvino.Core()
        network = self._read(model, options)
        compiled = self._compile(network, options)
        self._request = compiled.create_infer_request()
        ports = [
            TensorSpec(name, _dimensions(port), port.element_type.to_dtype().name)
            for name, port in zip(_names(network.inputs, "input"), compiled.inputs, strict=True)
        ]
        inputs = picture_first(ports)
        self._order = [ports.index(spec) for spec in inputs]
        names = _names(network.outputs, "output")
        outputs = settled(self.infer, inputs, list(zip(names, map(_dimensions, compiled.outputs), strict=True)))
        refuse_unscaled(outputs)
        self.io = ModelIO(inputs, outputs, by_paddle(model, inputs) | _metadata(network, model))

    def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See ``stages.Engine``. The outputs are views that the next call overwrites."""
        placed = dict(zip(self._order, tensors, strict=True))
        try:
            outputs = self._request.infer(placed, share_inputs=True, share_outputs=True)
        except (RuntimeError, ValueError, TypeError) as error:
            raise EngineError(f"OpenVINO failed during inference: {one_line(error)}.", retriable=True) from error
        return tuple(outputs.values())

    def close(self) -> None:
        del self._request

    def _read(self, model: Path, options: OpenvinoOptions) -> Any:
        """The network, with every input of a known shape."""
        try:
            network = self._core.read_model(str(model))
            size = options.input_size or told_size(_metadata(network, model)) or USUAL_SIZE
            shapes = (settle_input(_dimensions(port), size, options.batch) for port in network.inputs)
            network.reshape(dict(enumerate(shapes)))
        except RuntimeError as error:
            raise ModelError(f"{model}: OpenVINO cannot read it ({_cause(error)}).") from error
        return network

    def _compile(self, network: Any, options: OpenvinoOptions) -> Any:
        settings: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY"}
        if options.device == "CPU":
            settings["INFERENCE_NUM_THREADS"] = options.threads
        if options.precision != "auto":
            settings["INFERENCE_PRECISION_HINT"] = options.precision
        try:
            settings["CACHE_DIR"] = str(cache_directory(options.cache_dir, "openvino"))
        except OSError as error:
            log.warning("OpenVINO compiles the model at each start, as it cannot be kept: %s. Set cache_dir.", error)
        try:
            return self._core.compile_model(network, options.device, settings)
        except RuntimeError as error:
            there = ", ".join(self._core.available_devices) or "none"
            raise EngineError(
                f"OpenVINO cannot use {options.device} ({_cause(error)}). It sees: {there}. "
                "A GPU or NPU needs its driver and membership of the group render."
            ) from error


def _library() -> Any:
    """OpenVINO, without what tells Google Analytics of each import unless it is missing: nothing here goes to a cloud.
    Raises ImportError."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # for the import system: not there
    import openvino

    return openvino


def _dimensions(port: Any) -> tuple[int, ...]:
    return tuple(OPEN if n.is_dynamic else n.get_length() for n in port.partial_shape)


def _names(ports: Sequence[Any], kind: str) -> list[str]:
    """Their shortest names in the network as it was read: compiling merges operations, and adds the names of those that
    went before to a port's own."""
    return [min(port.names, key=len, default=f"{kind}_{place}") for place, port in enumerate(ports)]


def _metadata(network: Any, model: Path) -> dict[str, str]:
    """An ONNX file's properties, or what an exporter wrote beside the model."""
    if network.has_rt_info(["framework"]):
        return {key: str(value.value) for key, value in network.get_rt_info()["framework"].items()}
    return read_exported(model.parent / "metadata.yaml")


def _cause(error: RuntimeError) -> str:
    """OpenVINO's own words come after the places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from ", "Check '"))]
    return one_line(RuntimeError(" ".join(told or lines)))
