"""The table of heads: a name's options and the class that decodes a model's outputs with them."""

from __future__ import annotations

from edgerun.plugins import Table
from edgerun.stages import Head

HEADS: Table[Head] = Table(
    __name__,
    {
        "ssd": "ssd.Ssd",
        "ssd_raw": "ssd_raw.SsdRaw",
        "blazeface": "blazeface.BlazeFace",
        "classify": "classify.Classify",
        "fastestdet": "fastestdet.FastestDet",
        "nanodet": "nanodet.NanoDet",
        "picodet": "picodet.PicoDet",
        "rfdetr": "rfdetr.Rfdetr",
        "rtdetr": "rtdetr.Rtdetr",
        "yolo_end2end": "yolo_end2end.YoloEnd2End",
        "yolov5": "yolov5.Yolov5",
        "yolov8": "yolov8.Yolov8",
        "yolox": "yolox.Yolox",
        "yunet": "yunet.Yunet",
    },
)
