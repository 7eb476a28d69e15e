"""The floor: the same work with nothing around it. A process of its own, which answers one request a line.

Requests and answers are JSON: ``{"do": "bare", "threads": 1, "seconds": 3}``. Nothing here is edgerun's but the
writing of the tensor, and the engine where it is not LiteRT.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from edgerun.bench.figures import percentile
from edgerun.errors import EngineError
from edgerun.images import TensorWriter
from edgerun.models import ModelFile
from edgerun.runtime.inference.engines import candidates, head_chooser
from edgerun.types import Array, Frame, InputLayout, ModelIO, Stamp

Run: TypeAlias = Callable[[Array], object]


class Floor:
    """The process, from outside."""

    def __init__(self, model: Path, clip: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgerun.bench.floor", str(model), str(clip)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.ask(do="ready")

    def ask(self, **request: object) -> dict[str, float]:
        """Raises EngineError when it has died."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise EngineError(f"the process that measures the floor ended with status {self._process.wait()}")
        told: dict[str, float] = json.loads(answer)
        return told

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class _Work:
    """One model on one clip, run with ``threads``."""

    def __init__(self, model: Path, clip: Path) -> None:
        self._model = model
        self._runs: dict[int, Run] = {}
        found = ModelFile(model.stem, model, "")
        load = candidates(found, None)[0].load
        engine = load.build(load.options, model)
        self.io: ModelIO = engine.io
        one = engine.io.of_one()
        self.layout: InputLayout = head_chooser(found, None)(one).layout(one)
        self._is_tflite = model.suffix.lower() == ".tflite"
        if not self._is_tflite:
            self._runs[1] = lambda tensor: engine.infer([tensor])
        self._frames = _decoded(clip)
        self._others: dict[str, Iterator[Frame]] = {}

    def run(self, threads: int) -> Run:
        if threads not in self._runs:
            self._runs[threads] = _bare_litert(self._model, threads) if self._is_tflite else self.run(1)
        return self._runs[threads]

    def bare(self, threads: int, seconds: float) -> dict[str, float]:
        """Pictures a second of the engine's own loop, on the same one; nothing is read out."""
        run, tensor = self.run(threads), self._tensor()
        run(tensor)
        count, began, cpu = 0, time.perf_counter(), time.process_time()
        while (now := time.perf_counter()) - began < seconds:
            run(tensor)
            count += len(tensor)
        return {"per_s": count / (now - began), "cpu_ms": (time.process_time() - cpu) / count * 1000}

    def frames(self, threads: int, seconds: float) -> dict[str, float]:
        """Decode, prepare and infer, one after the other: frames a second, and CPU for each."""
        run, tensor, writer = self.run(threads), self._tensor(), TensorWriter(self.io, self.layout)
        count, began, cpu = 0, time.perf_counter(), time.process_time()
        while (now := time.perf_counter()) - began < seconds:
            for place in range(len(tensor)):
                writer.write(next(self._frames), tensor[place : place + 1])
            run(tensor)
            count += len(tensor)
        return {"per_s": count / (now - began), "cpu_ms": (time.process_time() - cpu) / count * 1000}

    def paced(self, threads: int, fps: float, seconds: float) -> dict[str, float]:
        """Milliseconds from the decoded frame to the end of its inference, at a camera's pace."""
        run, tensor, writer = self.run(threads), self._tensor(), TensorWriter(self.io, self.layout)
        took, due = [], time.perf_counter()
        for frame in self._frames:
            due += 1 / fps
            time.sleep(max(0.0, due - time.perf_counter()))
            began = time.perf_counter()
            writer.write(frame, tensor[:1])
            run(tensor)
            took.append((time.perf_counter() - began) * 1000)
            if len(took) >= fps * seconds:
                break
        return {"p50": percentile(took, 50), "p95": percentile(took, 95), "p99": percentile(took, 99)}

    def decode(self, clip: str, fps: float, seconds: float) -> dict[str, float]:
        """CPU milliseconds for each frame of another clip that is only decoded, at a camera's pace."""
        frames = self._others.setdefault(clip, _decoded(Path(clip)))
        count, began, cpu = max(1, round(fps * seconds)), time.perf_counter(), time.process_time()
        for number in range(count):
            time.sleep(max(0.0, began + number / fps - time.perf_counter()))
            next(frames)
        return {"cpu_ms": (time.process_time() - cpu) / count * 1000}

    def _tensor(self) -> Array:
        spec = self.io.inputs[0]
        return np.zeros(spec.shape, spec.dtype)


def _bare_litert(model: Path, threads: int) -> Run:
    from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]  # it has no type hints

    interpreter = Interpreter(str(model), num_threads=threads)
    interpreter.allocate_tensors()
    index = interpreter.get_input_details()[0]["index"]

    def run(tensor: Array) -> None:
        interpreter.set_tensor(index, tensor)
        interpreter.invoke()

    return run


def _decoded(clip: Path) -> Iterator[Frame]:
    """The clip's frames over and over, by PyAV's own shortest way."""
    import av

    while True:
        with av.open(str(clip)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            for picture in container.decode(video=0):
                yield planes_of(picture)


def planes_of(picture: Any) -> Frame:
    """A decoded yuv420p picture as a Frame of views."""
    stamp = Stamp("floor", 0, 0.0, 0.0, picture.width, picture.height)
    planes = []
    for number, plane in enumerate(picture.planes):
        half = 1 if number else 0
        shape = (picture.height + half) >> half, (picture.width + half) >> half
        planes.append(np.ndarray(shape, np.uint8, memoryview(plane), strides=(plane.line_size, 1)))
    return Frame(stamp, "i420", tuple(planes))


def _main(model: Path, clip: Path) -> None:
    work = _Work(model, clip)
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop("do")
        answer = {} if do == "ready" else getattr(work, do)(**request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
