"""OpenCV's own inference on the same file."""

from __future__ import annotations

from typing import Any

import cv2
from timing import arguments, measure

clip, model, _, frames = arguments()
net = cv2.dnn.readNetFromTFLite(str(model))


def step(picture: Any) -> object:
    net.setInput(cv2.dnn.blobFromImage(picture, size=(300, 300), swapRB=True))
    return net.forward(net.getUnconnectedOutLayersNames())


if __name__ == "__main__":
    measure(step, clip, frames)
