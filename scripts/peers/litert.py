"""LiteRT's own interpreter in a loop: read, resize, infer, fetch. No tracking, no zone, nothing published."""

from __future__ import annotations

from typing import Any

import cv2
from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]  # it has no type hints
from timing import arguments, measure

clip, model, _, frames = arguments()
interpreter = Interpreter(str(model), num_threads=1)
interpreter.allocate_tensors()
picture_in = interpreter.get_input_details()[0]
outputs = [detail["index"] for detail in interpreter.get_output_details()]
_, height, width, _ = picture_in["shape"]


def detect(picture: Any) -> list[Any]:
    rgb = cv2.cvtColor(cv2.resize(picture, (width, height)), cv2.COLOR_BGR2RGB)
    interpreter.set_tensor(picture_in["index"], rgb[None])
    interpreter.invoke()
    return [interpreter.get_tensor(index) for index in outputs]


if __name__ == "__main__":
    measure(detect, clip, frames)
