"""The table of heads: a name's options and the class that decodes a model's outputs with them."""

from __future__ import annotations

from edgerun.heads.blazeface import BlazeFace, BlazeFaceOptions
from edgerun.heads.classify import Classify, ClassifyOptions
from edgerun.heads.fastestdet import FastestDet, FastestDetOptions
from edgerun.heads.nanodet import NanoDet, NanoDetOptions
from edgerun.heads.picodet import PicoDet, PicoDetOptions
from edgerun.heads.rfdetr import Rfdetr, RfdetrOptions
from edgerun.heads.rtdetr import Rtdetr, RtdetrOptions
from edgerun.heads.ssd import Ssd, SsdOptions
from edgerun.heads.ssd_raw import SsdRaw, SsdRawOptions
from edgerun.heads.yolo_end2end import YoloEnd2End, YoloEnd2EndOptions
from edgerun.heads.yolov5 import Yolov5, Yolov5Options
from edgerun.heads.yolov8 import Yolov8, Yolov8Options
from edgerun.heads.yolox import Yolox, YoloxOptions
from edgerun.heads.yunet import Yunet, YunetOptions
from edgerun.plugins import Plugin
from edgerun.stages import Head

HEADS: dict[str, Plugin[Head]] = {
    "ssd": Plugin(SsdOptions, Ssd),
    "ssd_raw": Plugin(SsdRawOptions, SsdRaw),
    "blazeface": Plugin(BlazeFaceOptions, BlazeFace),
    "classify": Plugin(ClassifyOptions, Classify),
    "fastestdet": Plugin(FastestDetOptions, FastestDet),
    "nanodet": Plugin(NanoDetOptions, NanoDet),
    "picodet": Plugin(PicoDetOptions, PicoDet),
    "rfdetr": Plugin(RfdetrOptions, Rfdetr),
    "rtdetr": Plugin(RtdetrOptions, Rtdetr),
    "yolo_end2end": Plugin(YoloEnd2EndOptions, YoloEnd2End),
    "yolov5": Plugin(Yolov5Options, Yolov5),
    "yolov8": Plugin(Yolov8Options, Yolov8),
    "yolox": Plugin(YoloxOptions, Yolox),
    "yunet": Plugin(YunetOptions, Yunet),
}
