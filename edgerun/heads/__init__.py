"""The table of heads: a name's options and the class that decodes a model's outputs with them."""

from __future__ import annotations

from edgerun.heads.ssd import Ssd, SsdOptions
from edgerun.heads.ssd_raw import SsdRaw, SsdRawOptions
from edgerun.plugins import Plugin
from edgerun.stages import Head

HEADS: dict[str, Plugin[Head]] = {
    "ssd": Plugin(SsdOptions, Ssd),
    "ssd_raw": Plugin(SsdRawOptions, SsdRaw),
}
