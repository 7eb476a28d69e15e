"""Coral Edge TPUs: where sysfs shows them, what libedgetpu lists, and which models are made for them. No device is
opened, no package needed."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from edgerun.kernel import celsius, text, whole
from edgerun.records import dataclass

LIBRARY: Final = "libedgetpu.so.1"
_CUSTOM_OP: Final = b"edgetpu-custom-op"
"""The name of the operation that the Edge TPU's compiler leaves in a model."""
_USB: Final = {("1a6e", "089a"): False, ("18d1", "9302"): True}
"""Vendor and product -> initialised: on its first use a stick loads its firmware and comes back renamed."""


@dataclass(frozen=True, slots=True)
class Coral:
    """One Edge TPU that the kernel sees. Temperatures are None, and the speed 0, where sysfs does not tell."""

    bus: Literal["usb", "pci"]
    name: str
    node: Path
    initialised: bool = True
    speed_mbit: int = 0
    celsius: float | None = None
    trip_celsius: float | None = None
    """From here on the device slows itself down."""

    @property
    def permitted(self) -> bool:
        """Whether this user may open it."""
        return os.access(self.node, os.R_OK | os.W_OK)


@dataclass(frozen=True, slots=True)
class Listing:
    """What libedgetpu says of itself, and the bus of each device it sees, in its own order."""

    version: str
    buses: tuple[Literal["usb", "pci"], ...]


def corals(root: Path = Path("/")) -> Iterator[Coral]:
    """Every Edge TPU on USB, then on PCIe. ``root`` stands in for the real file system."""
    for vendor in sorted((root / "sys/bus/usb/devices").glob("*/idVendor")):
        initialised = _USB.get((text(vendor), text(vendor.with_name("idProduct"))))
        if initialised is not None:
            bus, number, speed = (whole(vendor.with_name(name)) or 0 for name in ("busnum", "devnum", "speed"))
            node = root / f"dev/bus/usb/{bus:03}/{number:03}"
            yield Coral("usb", vendor.parent.name, node, initialised, speed)
    for node in sorted((root / "dev").glob("apex_*")):
        told = root / "sys/class/apex" / node.name
        yield Coral("pci", node.name, node, True, 0, celsius(told / "temp"), celsius(told / "trip_point0_temp"))


def listed(library: str = LIBRARY) -> Listing:
    """Ask libedgetpu. Raises OSError where it cannot be loaded, ValueError where it is another library."""
    loaded = ctypes.CDLL(library)
    try:
        version, ask, give_back = (loaded[f"edgetpu_{name}"] for name in ("version", "list_devices", "free_devices"))
    except AttributeError as error:
        raise ValueError(f"{library} is not libedgetpu") from error
    version.restype = ctypes.c_char_p
    ask.restype, ask.argtypes = ctypes.POINTER(_Device), [ctypes.POINTER(ctypes.c_size_t)]
    give_back.restype, give_back.argtypes = None, [ctypes.c_void_p]
    count = ctypes.c_size_t()
    devices = ask(ctypes.byref(count))
    buses: list[Literal["usb", "pci"]] = ["usb" if devices[i].kind else "pci" for i in range(count.value)]
    if devices:
        give_back(devices)
    return Listing((version() or b"of an unknown version").decode(errors="replace"), tuple(buses))


def is_compiled(model: Path) -> bool:
    """Whether the Edge TPU's compiler made it. Raises OSError, and ValueError for an empty file."""
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped.find(_CUSTOM_OP) >= 0


class _Device(ctypes.Structure):
    """``struct edgetpu_device`` of edgetpu_c.h: 0 is PCIe, 1 is USB."""

    _fields_ = (("kind", ctypes.c_int), ("path", ctypes.c_char_p))
