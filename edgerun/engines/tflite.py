"""TensorFlow Lite (LiteRT) on the CPU through XNNPACK, or on an NPU through an external delegate."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from edgerun.engines.shapes import OPEN, picture_first, settle_output, trial_tensors
from edgerun.engines.tflite_metadata import read_metadata
from edgerun.engines.wording import one_line
from edgerun.errors import EngineError, ModelError
from edgerun.folders import expanded_text
from edgerun.limits import NOT_EMPTY, Interval
from edgerun.records import dataclass
from edgerun.types import Array, ModelIO, TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegateOptions:
    """A shared library that takes over (parts of) the model: the way to VX, Ethos-U, Hexagon and Teflon NPUs."""

    library: Annotated[str, NOT_EMPTY]
    """Name or path of the library, e.g. `/usr/lib/libvx_delegate.so`."""

    options: Mapping[str, str] = field(default_factory=dict)
    """What the library is told, in its own words; see its documentation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TfliteOptions:
    """TensorFlow Lite on the CPU, or on an NPU with a delegate."""

    threads: Annotated[int, Interval(ge=1, le=32)] = 1
    """Threads of one inference. More than the free cores slow it down; 1 is best when there are several cameras."""

    delegate: DelegateOptions | None = None
    """An external delegate to hand the model to."""


class Tflite:
    """One interpreter with its model. Lives in the engine's own process: a delegate may abort or hang it."""

    def __init__(self, options: TfliteOptions, model_path: Path) -> None:
        """Load, allocate and run, so that a model which cannot run says so here; twice where its outputs' shapes are
        open, so that what depends on the picture is known.

        Raises ModelError for a file that is missing, damaged or for other hardware; EngineError for a runtime or
        delegate that is missing or refuses.
        """
        runtime = self.preload()
        if not model_path.is_file():
            raise ModelError(f"The model file {model_path} is not there.")
        delegates = [load_delegate(runtime, options.delegate)] if options.delegate else []
        try:
            self._interpreter = runtime.Interpreter(
                str(model_path), num_threads=options.threads, experimental_delegates=delegates
            )
            _refuse_open_size(model_path, self._interpreter.get_input_details())
            self._interpreter.allocate_tensors()
        except SystemError as error:
            raise EngineError(_numpy_trap(runtime)) from error
        except (ValueError, RuntimeError) as error:
            raise _load_error(model_path, error, bool(delegates)) from error
        details = self._interpreter.get_input_details()
        inputs = picture_first([_spec(detail, detail["name"], detail["shape"]) for detail in details])
        by_name = {detail["name"]: detail["index"] for detail in details}
        self._inputs = [by_name[spec.name] for spec in inputs]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]
        runs = [self.infer(trial_tensors(inputs, 0))]
        if any(
            tuple(detail["shape_signature"]) != output.shape
            for detail, output in zip(self._interpreter.get_output_details(), runs[0], strict=True)
        ):
            runs.append(self.infer(trial_tensors(inputs, 1)))
        outputs = _output_specs(self._interpreter, list(zip(*runs, strict=True)), inputs[0].shape[0])
        self.io = ModelIO(inputs, outputs, read_metadata(model_path) | _ssd_classes(self._interpreter, outputs))

    @staticmethod
    def preload() -> Any:
        """The interpreter's module: ai-edge-litert, or tflite-runtime where only that is installed. See
        ``stages.Preloading``."""
        with suppress(ModuleNotFoundError):
            from ai_edge_litert import interpreter  # type: ignore[import-untyped]  # it has no type hints

            return interpreter
        try:
            from tflite_runtime import interpreter as older  # type: ignore[import-not-found]  # one of the two is there
        except ModuleNotFoundError as error:
            raise EngineError(
                "Engine tflite needs the package ai-edge-litert (on 32-bit Arm: tflite-runtime), which is not "
                "installed."
            ) from error
        except (ImportError, AttributeError) as error:
            raise EngineError(f"tflite-runtime cannot be imported: {error}. {_NUMPY_ADVICE}") from error
        return older

    def infer(self, tensors: Sequence[Array]) -> list[Array]:
        """Outputs are copies: a live view of the interpreter's memory would make its next run fail."""
        try:
            for index, tensor in zip(self._inputs, tensors, strict=True):
                self._interpreter.set_tensor(index, tensor)
            self._interpreter.invoke()
            return [self._output(index) for index in self._outputs]
        except ValueError as error:
            raise EngineError(f"The input does not fit the model: {error}") from error
        except RuntimeError as error:
            raise EngineError(f"TensorFlow Lite failed: {one_line(error)}", retriable=True) from error

    def _output(self, index: int) -> Array:
        """A copy of one output; get_tensor refuses empty ones, which models that choose their boxes have."""
        try:
            output: Array = self._interpreter.get_tensor(index)
        except ValueError:
            detail = next(d for d in self._interpreter.get_output_details() if d["index"] == index)
            if np.prod(detail["shape"]):
                raise
            output = np.zeros(detail["shape"], detail["dtype"])
        return output

    def close(self) -> None:
        del self._interpreter


_NUMPY_ADVICE = "Its builds up to 2.14 need numpy below 2: pip install 'numpy<2', or install ai-edge-litert instead."


def _numpy_trap(runtime: Any) -> str:
    if runtime.__name__.startswith("tflite_runtime") and int(np.__version__.split(".")[0]) >= 2:
        return f"tflite-runtime does not work with numpy {np.__version__}. {_NUMPY_ADVICE}"
    return "The TensorFlow Lite runtime broke while loading the model; reinstall ai-edge-litert."


def load_delegate(runtime: Any, delegate: DelegateOptions) -> Any:
    """The delegate of a library. Raises EngineError that says which half failed: the library or the hardware."""
    path = expanded_text(delegate.library)
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise EngineError(
            f"The delegate library {path} cannot be loaded: {error}. Install it, or correct delegate.library."
        ) from error
    if not hasattr(library, "tflite_plugin_create_delegate"):
        raise EngineError(f"{path} is a library, but no TensorFlow Lite delegate.")
    try:
        return runtime.load_delegate(path, dict(delegate.options))
    except ValueError as error:
        reason = one_line(error).removeprefix(f"Failed to load delegate from {path}").strip() or "no reason given"
        raise EngineError(
            f"The delegate {path} refused to start ({reason}): its device is missing, busy, not permitted, "
            f"or an option of {dict(delegate.options)} is unknown to it.",
            retriable=True,
        ) from error


def _refuse_open_size(path: Path, inputs: Sequence[Mapping[str, Any]]) -> None:
    """The file then says 1x1, which would be taken for it. An open batch is fine: one picture is what it says."""
    for detail in inputs:
        shape = [int(n) for n in detail["shape_signature"]]
        if len(shape) == 4 and OPEN in shape[1:]:
            raise ModelError(
                f"{path} leaves the size of its picture open ({shape}). Convert it again with a fixed one, such as "
                "[1, 320, 320, 3]."
            )


def _load_error(path: Path, error: Exception, delegated: bool) -> EngineError | ModelError:
    """What the runtime's words at loading mean to the person who chose the model."""
    reason = one_line(error)
    if "edgetpu-custom-op" in reason:
        return ModelError(f"{path} is compiled for the Edge TPU: use engine edgetpu, or the model's plain version.")
    if "unresolved custom op" in reason:
        name = reason.partition("custom op:")[2].split(".")[0].strip()
        return ModelError(f"{path} needs the operation {name!r}, which TensorFlow Lite does not have.")
    if delegated and "model" not in reason.lower():
        return EngineError(f"The delegate cannot run {path}: {reason}", retriable=True)
    return ModelError(f"{path} is damaged, or no TensorFlow Lite model: {reason}")


def _output_specs(interpreter: Any, seen: Sequence[tuple[Array, ...]], batch: int) -> tuple[TensorSpec, ...]:
    """The outputs of a loaded model for ``batch`` pictures that gave ``seen`` in its trials. They bear the names of its
    signature where it has one: exporters put the order of the outputs there, while tensor names and positions are
    accidents of conversion."""
    names = {}
    signatures = interpreter.get_signature_list()
    if len(signatures) == 1:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        names = {detail["index"]: name for name, detail in runner.get_output_details().items()}
    specs = []
    for detail, outputs in zip(interpreter.get_output_details(), seen, strict=True):
        shape = settle_output(detail["shape_signature"], [output.shape for output in outputs], batch)
        specs.append(_spec(detail, names.get(detail["index"], detail["name"]), shape))
    return tuple(specs)


def _ssd_classes(interpreter: Any, outputs: Sequence[TensorSpec]) -> dict[str, str]:
    """``ssd_classes``, how many classes each anchor is scored for, with the background where there is one: the four
    outputs do not tell it, but what goes into TFLite_Detection_PostProcess does (anchors, 4) and (1, anchors, classes).
    Empty for other models."""
    if len(outputs) != 4:
        return {}
    shapes = {tuple(map(int, detail["shape"])) for detail in interpreter.get_tensor_details()}
    counts = {shape[2] for shape in shapes if len(shape) == 3 and shape[2] != 4 and (shape[1], 4) in shapes}
    return {"ssd_classes": str(counts.pop())} if len(counts) == 1 else {}


def _spec(detail: Mapping[str, Any], name: str, shape: Sequence[int]) -> TensorSpec:
    dtype = np.dtype(detail["dtype"])
    # converters leave a scale with floats that were trained for one: these are real values all the same
    scale, zero_point = detail["quantization"] if dtype.kind in "iu" else (0.0, 0)
    return TensorSpec(name, tuple(map(int, shape)), dtype.name, float(scale), int(zero_point))
