"""Building a TensorRT engine from an ONNX file on the device it will run on, and keeping it.

TensorRT 10 chooses precisions by builder flags; 11 has none left and computes in the types that the model is written
in, so what a flag would have done must be baked into the file (NVIDIA's migration guide from 10 to 11).
"""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import sys
from pathlib import Path
from typing import Any, Final, Literal

from edgerun.engines.caches import cache_directory
from edgerun.engines.shapes import OPEN, settle_input
from edgerun.engines.wording import one_line
from edgerun.errors import EngineError, ModelError
from edgerun.folders import is_own, write_whole
from edgerun.hashing import sha256
from edgerun.records import dataclass

log = logging.getLogger(__name__)

Precision = Literal["auto", "fp16", "int8", "model"]

_QDQ: Final = b"QuantizeLinear"
_TIMINGS: Final = "timings.cache"
_MOST_ERRORS: Final = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that an engine depends on, besides TensorRT and the GPU."""

    model: Path
    precision: Precision
    dla_core: int | None
    workspace_mb: int
    input_size: tuple[int, int]
    batch: int


def listener(trt: Any) -> Any:
    """A logger for TensorRT: ``complaint`` is what it said of errors, the first ones first, as those are the causes."""

    class Listener(trt.ILogger):  # type: ignore[misc]  # there only where TensorRT is
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self._errors = [*self._errors, msg][:_MOST_ERRORS]
                print(msg, file=sys.stderr)  # what the daemon tells of it should this process die

        @property
        def complaint(self) -> str:
            return one_line(ValueError("; ".join(self._errors) or "it does not say why"))

    return Listener()


def built(trt: Any, logger: Any, recipe: Recipe, gpu: str, cache: Path | None) -> bytes:
    """The serialized engine of a recipe: the one that was kept, or a new one, which takes minutes.

    A kept one is native code: it is only read from a folder that nobody else may write to.
    Raises ModelError for a model that cannot be built, EngineError for what the device or the version cannot do.
    """
    try:
        folder = cache_directory(cache, "tensorrt")
        _refuse_open(folder)
        kept = folder / f"{_key(trt, recipe, gpu)}.engine"
        if kept.is_file():
            with contextlib.suppress(OSError):
                kept.touch()  # as the oldest go, and it takes minutes
            return kept.read_bytes()
        log.warning("building a TensorRT engine for %s; this takes minutes, once", recipe.model.name)
        plan = bytes(_build(trt, logger, recipe, folder / _TIMINGS))
        write_whole(kept, plan, lasting=True)
    except OSError as error:
        raise EngineError(f"The cache for TensorRT engines cannot be used ({error}). Set cache_dir.") from error
    return plan


def forget(trt: Any, recipe: Recipe, gpu: str, cache: Path | None) -> None:
    """Drop the kept engine, which TensorRT no longer reads."""
    (cache_directory(cache, "tensorrt") / f"{_key(trt, recipe, gpu)}.engine").unlink(missing_ok=True)


def _key(trt: Any, recipe: Recipe, gpu: str) -> str:
    model = sha256(recipe.model.read_bytes()).hexdigest()
    chosen = [recipe.precision, recipe.dla_core, recipe.workspace_mb, recipe.input_size, recipe.batch]
    facts = [model, trt.__version__, gpu, *chosen]
    return sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _refuse_open(folder: Path) -> None:
    if not is_own(folder.stat()):
        raise EngineError(
            f"Others may write to {folder}, where TensorRT engines are kept, and those run as native code. "
            "Set cache_dir to a folder that only this user may write to."
        )


def _build(trt: Any, logger: Any, recipe: Recipe, timings: Path) -> Any:
    builder = trt.Builder(logger)
    config = builder.create_builder_config()
    typed = _set_precision(trt, config, recipe)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(recipe.model)):
        reasons = "; ".join(str(parser.get_error(i).desc()) for i in range(parser.num_errors))
        raise ModelError(f"{recipe.model}: TensorRT cannot read it ({one_line(ValueError(reasons))}).")
    if recipe.workspace_mb:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, recipe.workspace_mb << 20)
    _settle(builder, config, network, recipe)
    _set_dla(trt, builder, config, recipe.dla_core)
    config.set_timing_cache(config.create_timing_cache(timings.read_bytes() if timings.is_file() else b""), True)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"TensorRT could not build an engine for {recipe.model.name}: {logger.complaint}.")
    write_whole(timings, bytes(config.get_timing_cache().serialize()), lasting=True)
    return plan


def _set_precision(trt: Any, config: Any, recipe: Recipe) -> int:
    """Set what the version has flags for; the network's creation flags."""
    quantized = _is_quantized(recipe.model)
    has_flags = hasattr(trt.BuilderFlag, "FP16")
    if recipe.precision == "int8" and not quantized:
        raise ModelError(
            f"{recipe.model}: holds no Q/DQ nodes, so there is nothing to run in INT8. Quantize it first "
            "(modelopt.onnx.quantization, quantize_mode='int8')."
        )
    if recipe.precision == "fp16" and not has_flags:
        raise EngineError(
            f"TensorRT {trt.__version__} cannot be told to use FP16: it computes in the model's own types. Convert the "
            "model (python -m modelopt.onnx.autocast) and set precision to model, or to auto."
        )
    if recipe.precision == "model" or not has_flags:
        if recipe.precision == "auto" and not quantized:
            log.warning("TensorRT %s computes %s in the model's own types", trt.__version__, recipe.model.name)
        strongly = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return 1 << int(strongly) if strongly is not None else 0
    config.set_flag(trt.BuilderFlag.FP16)
    if quantized and recipe.precision != "fp16":
        config.set_flag(trt.BuilderFlag.INT8)
    return 0


def _is_quantized(model: Path) -> bool:
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped.find(_QDQ) >= 0


def _settle(builder: Any, config: Any, network: Any, recipe: Recipe) -> None:
    """One fixed shape for each input that the model leaves open."""
    profile = None
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = tuple(tensor.shape)
        if OPEN in shape:
            profile = profile or builder.create_optimization_profile()
            fixed = settle_input(shape, recipe.input_size, recipe.batch)
            profile.set_shape(tensor.name, fixed, fixed, fixed)
    if profile is not None:
        config.add_optimization_profile(profile)


def _set_dla(trt: Any, builder: Any, config: Any, core: int | None) -> None:
    if core is None:
        return
    if builder.num_DLA_cores <= core:
        raise EngineError(f"There is no DLA core {core}: this device has {builder.num_DLA_cores}. Leave out dla_core.")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)  # what the DLA cannot do runs on the GPU
