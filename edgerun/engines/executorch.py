"""ExecuTorch: ``.pte`` programs, what PyTorch Mobile became. Its Python runtime needs PyTorch: over a gigabyte."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from edgerun.engines.exported import read_exported
from edgerun.engines.shapes import picture_first, settled
from edgerun.engines.wording import one_line
from edgerun.errors import EngineError, ModelError
from edgerun.limits import NOT_EMPTY, Ge
from edgerun.records import dataclass
from edgerun.types import Array, ModelIO, TensorSpec

_DTYPES: Final = {0: "uint8", 1: "int8", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64", 11: "bool"}
"""PyTorch's numbers of types (c10/core/ScalarType.h)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorchOptions:
    """ExecuTorch with the backend that the program was exported for."""

    method: Annotated[str, NOT_EMPTY] = "forward"
    """The method of the program to run."""

    threads: Annotated[int, Ge(1)] = 1
    """CPU threads for one inference."""


class Executorch:
    """One method of one program. Tensors have no names in it: they are called after their places."""

    def __init__(self, options: ExecutorchOptions, model: Path) -> None:
        if not model.is_file():
            raise ModelError(f"The model file {model} is not there.")
        try:
            import torch
            from executorch.runtime import Runtime
        except ImportError as error:  # without PyTorch, ExecuTorch says that it is broken itself
            raise EngineError(
                f"ExecuTorch cannot be imported ({one_line(error)}). Install both halves: pip install executorch torch."
            ) from error
        self._torch = torch
        torch.set_num_threads(options.threads)
        try:
            program = Runtime.get().load_program(model)
            if options.method not in program.method_names:
                raise ModelError(f"{model}: has no method {options.method!r}; it has {sorted(program.method_names)}.")
            self._method = program.load_method(options.method)
            ports = _inputs(self._method.metadata)
        except RuntimeError as error:
            raise ModelError(
                f"{model}: ExecuTorch cannot load it ({one_line(error)}). It is damaged, or made for a backend that "
                "this build does not have."
            ) from error
        inputs = picture_first(ports)
        self._order = [inputs.index(port) for port in ports]
        outputs = [(f"output_{i}", ()) for i in range(self._method.metadata.num_outputs())]
        self.io = ModelIO(inputs, settled(self.infer, inputs, outputs), read_exported(model.parent / "metadata.yaml"))

    def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See ``stages.Engine``."""
        given = [self._torch.from_numpy(tensors[i]) for i in self._order]
        try:
            outputs = self._method.execute(given)
        except RuntimeError as error:
            raise EngineError(f"ExecuTorch failed during inference: {one_line(error)}.", retriable=True) from error
        return [output.numpy() for output in outputs]

    def close(self) -> None:
        del self._method


def _inputs(metadata: Any) -> list[TensorSpec]:
    """The inputs that a method's metadata tells; those that are no tensors raise RuntimeError there."""
    ports = []
    for i in range(metadata.num_inputs()):
        told = metadata.input_tensor_meta(i)
        kind = int(told.dtype())
        if kind not in _DTYPES:
            raise ModelError(f"Input {i} of the program is of PyTorch's type {kind}, which no detector has.")
        ports.append(TensorSpec(f"input_{i}", tuple(int(n) for n in told.sizes()), _DTYPES[kind]))
    return ports
