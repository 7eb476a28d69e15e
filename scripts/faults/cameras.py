"""Row 14: one of four cameras stalls, freezes or is unplugged; the others must not notice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import cv2
import numpy as np

from faults.row import Outcome, Row, Terms
from tests.daemon_process import CLIP, DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.servers import RtspServer, has_rtsp_server
from tests.servers.http_camera import HttpCamera
from tests.servers.mosquitto import Mosquitto
from tests.subscriber import Subscriber


class NoisyCamera:
    """Answers with a motion JPEG stream of noise at ten frames a second; while ``frozen``, with one and the same."""

    def __init__(self) -> None:
        self.frozen = threading.Event()
        chance = np.random.default_rng(1)
        pictures = [cv2.imencode(".jpg", chance.integers(0, 255, (120, 160, 3), np.uint8))[1] for _ in range(8)]
        self._pictures = [picture.tobytes() for picture in pictures]

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        request.end_headers()
        n = 0
        while True:
            n += not self.frozen.is_set()
            picture = self._pictures[n % len(self._pictures)]
            request.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture))
            request.wfile.write(picture + b"\r\n")
            time.sleep(0.1)


def _fault(
    terms: Terms, subscriber: Subscriber, name: str, state: str, begin: Callable[[], None], end: Callable[[], None]
) -> tuple[float, float, tuple[float, str]]:
    """Seconds until the state was published, until it was ok again, and the others' worst share of their fps."""
    others = {other for other in ("steady", "stalling", "freezing", "pulled") if other != name}
    time.sleep(3)
    calm = time.monotonic()
    time.sleep(10)
    normal = {other: _fps(subscriber, other, calm) for other in others}
    began = time.monotonic()
    begin()
    noticed_s = subscriber.wait(f"/{name}/state", 30, began, state=state).at - began
    time.sleep(max(0.0, terms.times(30, 12) - noticed_s))
    seen = [(min(1.0, _fps(subscriber, other, began) / normal[other]), other) for other in others]
    ended = time.monotonic()
    end()
    back_s = subscriber.wait(f"/{name}/state", 60, ended, state="ok").at - ended
    return noticed_s, back_s, min(seen)


def _fps(subscriber: Subscriber, name: str, since: float) -> float:
    """Between the first and the last, so that the edges of the time weigh nothing; a silence at an edge counts."""
    arrived = [found.at for found in subscriber.on(f"/{name}/detections", since)]
    if not arrived:
        return 0.0
    return (len(arrived) - 1) / (max(arrived[-1], time.monotonic() - 1) - min(arrived[0], since + 1))


def _play(terms: Terms) -> Outcome:
    if not has_rtsp_server():
        return Outcome("not played: GStreamer's RTSP server is not there", None)
    noisy = NoisyCamera()
    with (
        Mosquitto(terms.folder / "broker") as broker,
        RtspServer(CLIP) as stalling,
        RtspServer(CLIP) as pulled,
        HttpCamera(noisy) as http,
        Subscriber(broker.port) as subscriber,
        DaemonProcess(
            terms.folder / "daemon",
            {
                "device": "yard-pi",
                "mqtt": {"host": "127.0.0.1", "port": broker.port},
                "cameras": {
                    "steady": camera(clip()),
                    "stalling": camera({"type": "rtsp", "url": stalling.url}),
                    "freezing": camera({"type": "http", "url": http.url}),
                    "pulled": camera({"type": "rtsp", "url": pulled.url}),
                },
            },
        ) as daemon,
    ):
        daemon.ready()
        for name in ("steady", "stalling", "freezing", "pulled"):
            subscriber.wait(f"/{name}/state", 20, state="ok")
        wait_for(lambda: all(len(subscriber.on(f"/{n}/detections")) > 20 for n in ("steady", "pulled")), 20, "frames")
        found = {
            "stalled": _fault(terms, subscriber, "stalling", "stalled", stalling.freeze, stalling.thaw),
            "frozen": _fault(terms, subscriber, "freezing", "frozen", noisy.frozen.set, noisy.frozen.clear),
            "offline": _fault(terms, subscriber, "pulled", "offline", pulled.stop, pulled.start),
        }
        daemon.stop()
    figure = "; ".join(
        f"{state}: told after {told:.1f} s, back after {back:.1f} s, others at {share:.0%} fps or more ({worst})"
        for state, (told, back, (share, worst)) in found.items()
    )
    passed = all(
        told <= (10 if state == "frozen" else 5) and back <= 5 and share >= 0.99
        for state, (told, back, (share, _)) in found.items()
    )
    return Outcome(figure, passed)


ROWS = [
    Row(
        14,
        "one of four cameras stalls, freezes, is unplugged",
        "told <= 5 s (frozen <= 10 s), others >= 99 % fps, back <= 5 s",
        _play,
    )
]
