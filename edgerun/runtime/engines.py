"""Which engines may serve a model, and which head reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgerun.config.tree import Chosen, engine, head
from edgerun.errors import ModelError
from edgerun.heads.recognise import recognise
from edgerun.models import ModelFile, from_metadata
from edgerun.stages import Engine, Head
from edgerun.types import ModelIO
from edgerun.worker.wire import Load
from edgerun.worker.worker import SLOTS, Candidate

_BY_SUFFIX: dict[str, tuple[str, ...]] = {
    ".tflite": ("tflite",),
    ".onnx": ("onnx", "openvino"),
    ".xml": ("openvino",),
    ".engine": ("tensorrt",),
    ".param": ("ncnn",),
    ".pte": ("executorch",),
}
_EDGETPU_MARK = b"edgetpu-custom-op"


def candidates(model: ModelFile, chosen: Chosen[Engine] | None) -> Sequence[Candidate]:
    """The engines to try for a model, best first; just the chosen one where the configuration names one."""
    if chosen is not None:
        names = [chosen]
    else:
        suffix = model.path.suffix.lower()
        if suffix not in _BY_SUFFIX:
            raise ModelError(f"{model.path.name} is of a kind that no engine runs; known are {', '.join(_BY_SUFFIX)}")
        kinds = _BY_SUFFIX[suffix]
        if suffix == ".tflite" and _EDGETPU_MARK in model.path.read_bytes():
            kinds = ("edgetpu",)
        names = [engine(kind) for kind in kinds]
    return [Candidate(one.type, Load(one.plugin.build, one.options, model.path, SLOTS)) for one in names]


def head_chooser(model: ModelFile, chosen: Chosen[Head] | None) -> Callable[[ModelIO], Head]:
    """Tells the head of a loaded model: the chosen one, or what its outputs give away. Raises ModelError."""

    def choose(io: ModelIO) -> Head:
        if chosen is not None:
            return chosen.build()
        if model.head:
            return head(model.head).build()
        try:
            return head(recognise(io, len(model.labels) or None)).build()
        except ValueError as error:
            raise ModelError(f"{model.path.name}: {error}") from error

    return choose


def labels_of(model: ModelFile, io: ModelIO) -> tuple[str, ...]:
    """The class names by id: those given with the model, or those that its own file holds; none: ids stand alone."""
    return model.labels or from_metadata(io.metadata)


def label(labels: Sequence[str], class_id: int) -> str:
    return labels[class_id] if 0 <= class_id < len(labels) else f"class {class_id}"
