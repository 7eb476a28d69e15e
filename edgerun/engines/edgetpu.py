"""Coral Edge TPU: ``_edgetpu.tflite`` models through libedgetpu, TensorFlow Lite's delegate for it.

Works with ai-edge-litert, and with Google's tflite-runtime where only that is installed; pycoral is not needed. When
a stick is pulled out, libedgetpu aborts its whole process, and opening one blocks it for seconds: this engine belongs
into the child that the worker keeps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from edgerun.corals import LIBRARY, Listing, corals, is_compiled, listed
from edgerun.engines.tflite import DelegateOptions, Tflite, TfliteOptions
from edgerun.engines.wording import one_line
from edgerun.errors import EngineError, ModelError
from edgerun.folders import expanded_text
from edgerun.limits import NOT_EMPTY
from edgerun.records import dataclass
from edgerun.types import Array, ModelIO

_WRONG_BUILD: Final = (
    "edgetpu-custom-op",
    "EdgeTpuDelegateForCustomOp",
    "Unsupported data type in custom op handler",
    "batches * single_input_size",
)
"""What a libedgetpu and a TensorFlow Lite of different years have to say of each other (google-coral/edgetpu#812)."""

_INSTALL: Final = (
    "Install libedgetpu1-std built for a current TensorFlow Lite "
    "(16.0TF2.17 or newer, github.com/feranick/libedgetpu/releases)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgetpuOptions:
    """One Edge TPU."""

    device: str = "auto"
    """Which one: `auto` takes the first that is free; `usb`, `pci`, `usb:0`, `usb:1`, `pci:0`, ... name one."""

    performance: Literal["low", "medium", "high", "max"] | None = None
    """The clock of a USB stick: `max` is fastest and hottest. By default what the installed library was built for."""

    library: Annotated[str, NOT_EMPTY] = LIBRARY
    """Name or path of libedgetpu."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"auto|(usb|pci)(:\d+)?", self.device):
            raise ValueError(f"device {self.device!r} must be auto, usb, pci, or one of them by number like usb:0")


class Edgetpu:
    """One model on one Edge TPU. ``device`` names the one that took it."""

    def __init__(self, options: EdgetpuOptions, model: Path) -> None:
        _refuse_plain(model)
        try:
            listing = listed(expanded_text(options.library))
        except OSError as error:
            raise EngineError(f"{options.library} cannot be loaded ({one_line(error)}). {_INSTALL}") from error
        except ValueError as error:
            raise EngineError(f"{one_line(error)}. Correct the option library.") from error
        refusals = []
        for device in _choices(options.device, listing):
            try:
                self._engine = _open(device, options, model, listing.version)
            except EngineError as error:
                refusals.append(f"{device}: {error}")
                continue
            self.device = device
            return
        raise EngineError(" ".join(refusals), retriable=True)

    @property
    def io(self) -> ModelIO:
        return self._engine.io

    def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See ``stages.Engine``."""
        return self._engine.infer(tensors)

    def close(self) -> None:
        self._engine.close()


def _refuse_plain(model: Path) -> None:
    try:
        compiled = is_compiled(model)
    except (OSError, ValueError) as error:
        raise ModelError(f"{model}: cannot be read ({one_line(error)}).") from error
    if not compiled:
        raise ModelError(
            f"{model} is not compiled for the Edge TPU: run edgetpu_compiler on it (it must be fully INT8), "
            "or use engine tflite."
        )


def _choices(device: str, listing: Listing) -> list[str]:
    """The devices to try, in libedgetpu's words. Raises EngineError where there is none, saying why."""
    counted: dict[str, int] = {"usb": 0, "pci": 0}
    there = []
    for bus in listing.buses:
        there.append(f"{bus}:{counted[bus]}")
        counted[bus] += 1
    wanted = [name for name in there if device == "auto" or name == device or name.startswith(f"{device}:")]
    if wanted:
        return wanted
    if there:
        raise EngineError(f"There is no Edge TPU {device}; there is {', '.join(there)}.", retriable=True)
    locked = [str(coral.node) for coral in corals() if not coral.permitted]
    if locked:
        raise EngineError(
            f"An Edge TPU is there, but this user may not open {' or '.join(locked)}: install the udev rules, add the "
            "user to the group plugdev (USB) or apex (PCIe), and plug it in again.",
            retriable=True,
        )
    raise EngineError(
        f"libedgetpu {listing.version} sees no Edge TPU. Plug one in; for a PCIe card install the gasket-dkms driver.",
        retriable=True,
    )


def _open(device: str, options: EdgetpuOptions, model: Path, version: str) -> Tflite:
    told = {"device": device}
    if options.performance:
        told["Performance"] = options.performance.capitalize()  # heeded only beside a numbered device
    delegate = DelegateOptions(library=options.library, options=told)
    try:
        return Tflite(TfliteOptions(delegate=delegate), model)
    except (EngineError, ModelError) as error:
        cause = f"{error} {error.__cause__ or ''}"
        if any(sign in cause for sign in _WRONG_BUILD):
            raise EngineError(
                f"libedgetpu {version} does not fit the installed TensorFlow Lite ({one_line(error.__cause__ or error)}"
                f"). {_INSTALL}"
            ) from error
        raise
