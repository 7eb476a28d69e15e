"""How a loaded model is fed, and what reads its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgerun.errors import ModelError
from edgerun.images import TensorWriter
from edgerun.records import dataclass
from edgerun.stages import FixedInputs, Head
from edgerun.types import Array, InputLayout, ModelIO
from edgerun.worker.wire import Slots


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Shared by the workers that loaded the same. ``io`` is that of one picture, also where the model takes several."""

    io: ModelIO
    head: Head
    layout: InputLayout

    @staticmethod
    def of(io: ModelIO, head_for: Callable[[ModelIO], Head]) -> Reading:
        """Raises ModelError where no head reads the model, or no picture can be laid out for it."""
        head = head_for(io)
        layout = head.layout(io)
        try:
            TensorWriter(io, layout)
        except ValueError as error:
            raise ModelError(f"No picture can be laid out for the model: {error}.") from error
        return Reading(io, head, layout)

    def fill(self, slots: Slots) -> None:
        """Write what the model takes beside the picture, the same for each. Raises ModelError."""
        _, *others = zip(*(slot.inputs for slot in slots.slots), strict=True)
        for places, value in zip(others, self._extra_inputs(), strict=True):
            for place in places:
                place[...] = value

    def _extra_inputs(self) -> Sequence[Array]:
        if len(self.io.inputs) == 1:
            return ()
        names = ", ".join(spec.name for spec in self.io.inputs[1:])
        if not isinstance(self.head, FixedInputs):
            raise ModelError(f"The model also takes {names}, which its head knows nothing of; write model.head.")
        try:
            return self.head.extra_inputs(self.io)
        except ValueError as error:
            raise ModelError(f"The model also takes {names}: {error}.") from error


def of_one_picture(io: ModelIO) -> ModelIO:
    """As ``ModelIO.of_one``. Raises ModelError."""
    try:
        return io.of_one()
    except ValueError as error:
        raise ModelError(f"{error}. Export the model with a batch of 1.") from error
