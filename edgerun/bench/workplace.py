"""What all measurements share: the clip, the model, the broker, the floor's process, and how long to take."""

from __future__ import annotations

import compileall
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgerun.bench.clips import retimed
from edgerun.bench.floor import Floor
from edgerun.bench.service import Broker, Setup
from edgerun.config.tree import DEFAULT_MODEL
from edgerun.models import resolve
from edgerun.models.store import BUNDLED
from edgerun.records import dataclass

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Workplace:
    """``seconds`` is the length of one round of one measurement, of which there are ``repeats``."""

    clip: Path
    model: Path
    labels: Path | None
    repeats: int
    seconds: float
    folder: Path
    broker: Broker
    floor: Floor

    def setup(self, fps: float, *, pace: bool = True, cameras: int = 1) -> Setup:
        """A configuration on the clip at ``fps``; unpaced, as fast as it goes."""
        clip = retimed(self.clip, self.folder, fps) if pace else self.clip
        return Setup(clip=clip, model=self.model, labels=self.labels, fps=fps, pace=pace, cameras=cameras)

    @property
    def conditions(self) -> str:
        return f"{self.clip.name} with {self.model.name}, through {self.broker.name}; {self.repeats} rounds"


@contextmanager
def workplace(
    clip: Path | None, model: Path | None, labels: Path | None, repeats: int, seconds: float
) -> Iterator[Workplace]:
    """Without a clip or model: the bundled ones."""
    clip = clip or BUNDLED / "demo.mp4"
    model = model or resolve(DEFAULT_MODEL).path
    compileall.compile_dir(PACKAGE, quiet=2)  # as in an installed package, also where Python is told to write none
    with tempfile.TemporaryDirectory(prefix="edgerun-bench-") as name:
        folder = Path(name)
        broker = Broker(folder)
        floor = Floor(model, clip)
        try:
            yield Workplace(clip, model, labels, repeats, seconds, folder, broker, floor)
        finally:
            floor.close()
            broker.close()
