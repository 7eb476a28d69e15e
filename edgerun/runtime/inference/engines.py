"""Which engines may serve a model, and which head reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgerun.config.tree import Chosen, engine, head, plugin_tables
from edgerun.corals import is_compiled
from edgerun.devices import installed
from edgerun.errors import ModelError
from edgerun.models import ModelFile, from_metadata
from edgerun.models.catalogue import parts
from edgerun.stages import Engine, Head
from edgerun.types import ModelIO
from edgerun.worker.terms import SLOTS, Candidate
from edgerun.worker.wire import Load

_RUN_BY: dict[str, tuple[str, ...]] = {
    ".tflite": ("tflite", "openvino"),
    ".onnx": ("tensorrt", "onnx", "openvino"),
    ".xml": ("openvino",),
    ".engine": ("tensorrt",),
    ".param": ("ncnn",),
    ".pte": ("executorch",),
}
"""Which engines run a file, by its suffix, those first that are preferred before any trial."""
PROCESSOR_MEMORY_MB = 4096
"""What the process of an engine on the processor may take: a model made to fill the memory fails instead."""


def candidates(model: ModelFile, chosen: Chosen[Engine] | None, *, fallback: bool = False) -> list[Candidate]:
    """The engines to try for a model, best first: accelerators before the processor.

    Just the chosen one where the configuration names one; with ``fallback`` also the processor, where what the chosen
    one runs on can go away. Raises ModelError for a file that no engine runs, or not the chosen one.
    """
    if chosen is None:
        return _automatic(model)
    files = (model.path, *model.spares)
    path = next((path for path in files if chosen.type in _engines_for(path)), model.path)
    first = _candidate(chosen, model, path)
    if not (fallback and first.detachable and any(_engines_for(path) for path in files)):
        _refuse_others(chosen.type, path)
        return [first]
    return [first, *(one for one in _automatic(model) if not one.detachable)]


def _refuse_others(engine: str, path: Path) -> None:
    """Where a file bears the ending of a kind that the engine does not run: it would take it for a damaged one of its
    own. Raises ModelError."""
    able = _RUN_BY.get(path.suffix.lower(), (engine,))
    if engine not in able and any(engine in others for others in _RUN_BY.values()):
        raise ModelError(f"The engine {engine} does not run {path.name}. Use {', '.join(able)}, or auto.")


def _automatic(model: ModelFile) -> list[Candidate]:
    pairs = [(name, path) for path in (model.path, *model.spares) for name in _engines_for(path)]
    if not pairs:
        raise ModelError(f"{model.path.name} is of a kind that no engine runs; known are {', '.join(_RUN_BY)}")
    there = [pair for pair in pairs if installed(pair[0])] or pairs  # else the engine itself says what to install
    made = [_candidate(engine(name), model, path) for name, path in there]
    return sorted(made, key=lambda one: not one.detachable)


def _engines_for(path: Path) -> tuple[str, ...]:
    suffix = path.suffix.lower()
    known = plugin_tables()["engines"]
    kinds = ("edgetpu",) if suffix == ".tflite" and _is_for_corals(path) else _RUN_BY.get(suffix, ())
    return tuple(name for name in kinds if name in known)


def _is_for_corals(path: Path) -> bool:
    try:
        return is_compiled(path)
    except (OSError, ValueError):  # not there, or empty
        return False


def _candidate(one: Chosen[Engine], model: ModelFile, path: Path) -> Candidate:
    detachable = _can_go_away(one)
    limit = 0 if detachable else PROCESSOR_MEMORY_MB  # drivers map what is not memory
    builds = one.type == "tensorrt" or "tensorrt" in getattr(one.options, "providers", ())
    own = {str(part) for part in parts(path)}
    files = tuple(state for state in model.files if state[0] in own)
    return Candidate(one.type, Load(one.plugin.build, one.options, path, SLOTS, limit, files), detachable, builds)


def _can_go_away(one: Chosen[Engine]) -> bool:
    """Whether it runs on something that is unplugged, hangs or is switched off without the processor."""
    options = one.options
    return (
        one.type in ("edgetpu", "tensorrt", "remote")
        or getattr(options, "delegate", None) is not None
        or tuple(getattr(options, "providers", ("cpu",))) != ("cpu",)
        or getattr(options, "device", "CPU") != "CPU"
        or bool(getattr(options, "vulkan", False))
    )


def head_chooser(model: ModelFile, chosen: Chosen[Head] | None) -> Callable[[ModelIO], Head]:
    """Tells the head of a loaded model: the chosen one, or what its outputs give away. Raises ModelError."""

    def choose(io: ModelIO) -> Head:
        if chosen is not None:
            return chosen.build()
        if model.head:
            return _catalogued_head(model.name, model.head)
        from edgerun.heads.recognise import recognise  # it knows all heads: not for each start

        try:
            return head(recognise(io, len(model.labels) or None)).build()
        except ValueError as error:
            raise ModelError(f"{model.path.name}: {error}") from error

    return choose


def _catalogued_head(model: str, name: str) -> Head:
    """That of a catalogue, which may be the user's own. Raises ModelError."""
    known = plugin_tables()["heads"]
    if name not in known:
        raise ModelError(f"The catalogue gives {model!r} the head {name!r}, which there is not: {', '.join(known)}.")
    return head(name).build()


def labels_of(model: ModelFile, io: ModelIO) -> tuple[str, ...]:
    """The class names by id: those given with the model, or those that its own file holds; none: ids stand alone.

    TensorFlow's labelmap.txt for SSD begins with ``???``, for a background that the four outputs do not count.
    """
    names = model.labels or from_metadata(io.metadata)
    return names[1:] if names[:1] == ("???",) and len(io.outputs) == 4 else names
