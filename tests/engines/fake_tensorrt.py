"""TensorRT and CUDA's runtime as far as the engine uses them, with the real names and signatures (TensorRT's Python
API reference 10.3 and 11.4, cuda-python 12.8), on ordinary memory. The one model it knows: a picture in, the largest
value of each channel out.
"""

from __future__ import annotations

import ctypes
import json
import sys
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest


@dataclass
class Machine:
    """What the tests may set before, and look at after."""

    version: str = "10.3.0"
    gpus: int = 1
    gpu: bytes = b"Orin"
    dla_cores: int = 0
    shape: tuple[int, ...] = (1, 3, 6, 8)
    output: tuple[int, ...] = (1, 3)
    refuses_kept: bool = False
    refuses_to_build: bool = False
    builds: list[dict[str, object]] = field(default_factory=list)
    allocated: dict[int, ctypes.Array[ctypes.c_char]] = field(default_factory=dict)

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


class MemoryPoolType(IntEnum):
    WORKSPACE = 0


class DeviceType(IntEnum):
    GPU = 0
    DLA = 1


class TensorIOMode(IntEnum):
    INPUT = 1
    OUTPUT = 2


class BuilderFlag10(IntEnum):
    FP16 = 0
    INT8 = 1
    GPU_FALLBACK = 3


class BuilderFlag11(IntEnum):
    GPU_FALLBACK = 3


class NetworkDefinitionCreationFlag(IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING = range(3)

    def log(self, severity: int, msg: str) -> None:
        raise NotImplementedError


@dataclass
class TimingCache:
    content: bytes

    def serialize(self) -> bytes:
        return self.content + b"timing;"


class BuilderConfig:
    def __init__(self) -> None:
        self.flags: set[str] = set()
        self.default_device_type = DeviceType.GPU
        self.DLA_core = -1
        self.workspace = 0
        self.profiles: list[OptimizationProfile] = []
        self.timing = TimingCache(b"")

    def set_flag(self, flag: IntEnum) -> None:
        self.flags.add(flag.name)

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self.workspace = pool_size

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache:
        return TimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        self.timing = cache
        return True

    def get_timing_cache(self) -> TimingCache:
        return self.timing

    def add_optimization_profile(self, profile: OptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1


class OptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        self.shapes[input] = opt


class Network:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.shape: tuple[int, ...] = ()
        self.num_inputs = 1

    def get_input(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(name="picture", shape=self.shape)


class Context:
    def __init__(self, machine: Machine, plan: dict[str, object]) -> None:
        self._machine = machine
        self.shapes: dict[str, tuple[int, ...]] = {"top": machine.output}
        self.places: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.places[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        shape = self.shapes["picture"]
        size = int(np.prod(shape))
        floats = ctypes.POINTER(ctypes.c_float)
        picture = np.ctypeslib.as_array(ctypes.cast(self.places["picture"], floats), (size,)).reshape(shape)
        top = np.ctypeslib.as_array(ctypes.cast(self.places["top"], floats), shape[:2])
        top[:] = picture.max(axis=(2, 3))
        return True


class Engine:
    num_io_tensors = 2

    def __init__(self, machine: Machine, plan: dict[str, object]) -> None:
        self._machine, self._plan = machine, plan

    def get_tensor_name(self, index: int) -> str:
        return ("top", "picture")[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == "picture" else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._machine.shape if name == "picture" else self._machine.output

    def get_tensor_dtype(self, name: str) -> str:
        return "FLOAT"

    def create_execution_context(self) -> Context:
        return Context(self._machine, self._plan)


class Status(IntEnum):
    cudaSuccess = 0  # noqa: N815  # CUDA's name
    cudaErrorInvalidValue = 1  # noqa: N815  # CUDA's name


def install(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    """Put the stand-ins where ``import tensorrt`` and ``import cuda.bindings.runtime`` find them."""
    trt, cuda, bindings = (ModuleType(name) for name in ("tensorrt", "cuda", "cuda.bindings"))
    runtime = _runtime(machine)
    parts = _tensorrt(machine) | {
        "__version__": machine.version,
        "BuilderFlag": BuilderFlag10 if machine.major < 11 else BuilderFlag11,
    }
    for name, part in parts.items():
        setattr(trt, name, part)
    bindings.runtime = runtime  # type: ignore[attr-defined]  # a module made here
    found = {"tensorrt": trt, "cuda": cuda, "cuda.bindings": bindings, "cuda.bindings.runtime": runtime}
    for name, module in found.items():
        monkeypatch.setitem(sys.modules, name, module)


def _tensorrt(machine: Machine) -> dict[str, object]:
    class Builder:
        num_DLA_cores = machine.dla_cores  # noqa: N815  # TensorRT's name

        def __init__(self, logger: ILogger) -> None:
            self._logger = logger

        def create_builder_config(self) -> BuilderConfig:
            return BuilderConfig()

        def create_network(self, flags: int = 0) -> Network:
            return Network(flags)

        def create_optimization_profile(self) -> OptimizationProfile:
            return OptimizationProfile()

        def build_serialized_network(self, network: Network, config: BuilderConfig) -> bytes | None:
            self._logger.log(ILogger.WARNING, "Weights were cast")
            if machine.refuses_to_build:
                self._logger.log(ILogger.ERROR, "Could not find any implementation for node pool.")
                self._logger.log(ILogger.INTERNAL_ERROR, "Assertion engine != nullptr failed.")
                return None
            plan = {
                "version": machine.version,
                "flags": sorted(config.flags),
                "typed": bool(network.flags >> NetworkDefinitionCreationFlag.STRONGLY_TYPED & 1),
                "dla": config.DLA_core,
                "device": config.default_device_type.name,
                "workspace": config.workspace,
                "shapes": config.profiles[0].shapes if config.profiles else {},
                "timings": config.timing.content.decode(),
            }
            machine.builds.append(plan)
            return json.dumps(plan).encode()

    class OnnxParser:
        num_errors = 1

        def __init__(self, network: Network, logger: ILogger) -> None:
            self._network = network

        def parse_from_file(self, model: str) -> bool:
            self._network.shape = machine.shape
            return b"Nonsense" not in Path(model).read_bytes()

        def get_error(self, index: int) -> SimpleNamespace:
            return SimpleNamespace(desc=lambda: "No importer registered for op: Nonsense")

    class Runtime:
        DLA_core = -1

        def __init__(self, logger: ILogger) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
            try:
                plan = json.loads(serialized_engine)
            except ValueError:
                return None
            if machine.refuses_kept:
                self._logger.log(ILogger.ERROR, "Version tag does not match")
                return None
            return Engine(machine, plan)

    def nptype(trt_type: str) -> type:
        if trt_type != "FLOAT":
            raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
        return np.float32

    own = (MemoryPoolType, DeviceType, TensorIOMode, NetworkDefinitionCreationFlag, ILogger)
    made = (Builder, OnnxParser, Runtime, nptype)
    return {part.__name__: part for part in (*own, *made)}


def _runtime(machine: Machine) -> ModuleType:
    def malloc(size: int) -> tuple[Status, int]:
        buffer = ctypes.create_string_buffer(size)
        machine.allocated[ctypes.addressof(buffer)] = buffer
        return Status.cudaSuccess, ctypes.addressof(buffer)

    def free(place: int) -> tuple[Status]:
        return (Status.cudaErrorInvalidValue if machine.allocated.pop(place, None) is None else Status.cudaSuccess,)

    def copy(to: int, source: int, count: int, kind: object, stream: int) -> tuple[Status]:
        ctypes.memmove(to, source, count)
        return (Status.cudaSuccess,)

    module = ModuleType("cuda.bindings.runtime")
    facts = SimpleNamespace(name=machine.gpu, major=8, minor=7)
    answers = {
        "cudaGetDeviceCount": lambda: (Status.cudaSuccess, machine.gpus),
        "cudaGetDeviceProperties": lambda device: (Status.cudaSuccess, facts),
        "cudaStreamCreate": lambda: (Status.cudaSuccess, 77),
        "cudaStreamSynchronize": lambda stream: (Status.cudaSuccess,),
        "cudaStreamDestroy": lambda stream: (Status.cudaSuccess,),
        "cudaMalloc": malloc,
        "cudaFree": free,
        "cudaMemcpyAsync": copy,
        "cudaMemcpyKind": SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2),
    }
    for name, answer in answers.items():
        setattr(module, name, answer)
    return module
