"""Figures that Prometheus reads: right, cheap, and only for those who may have them."""

from __future__ import annotations

import http.client
import json
import math
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from edgerun import __version__
from edgerun.config.upkeep import MetricsOptions
from edgerun.runtime.delivery.counts import DeliveryCounts
from edgerun.runtime.health.figures import _latencies
from edgerun.runtime.health.metrics import Metrics
from edgerun.runtime.health.metrics_server import is_ours, page_writer
from edgerun.runtime.health.vitals import Temperature, Vitals
from edgerun.runtime.meters import BOUNDS_S, AlertMeter, FrameMeter, Histogram, Meters, quantile
from edgerun.secrets import Secret
from tests.daemon_process import DaemonProcess, wait_for
from tests.outages import camera, clip
from tests.servers.mosquitto import Mosquitto, free_port, needs_mosquitto
from tests.subscriber import Subscriber
from tests.test_report import CAMERA, report

ROOT = Path(__file__).resolve().parents[1]


def get(
    port: int, path: str = "/metrics", method: str = "GET", host: str = "127.0.0.1", **headers: str
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": host, **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


# Counting


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_lies_in_the_right_bucket(values: list[float], q: float) -> None:
    """The bucket of the value that a sorted list would give."""
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    exact = sorted(values)[math.ceil(len(values) * q) - 1]
    told = quantile(histogram.counts, q)
    upper = next((bound for bound in BOUNDS_S if bound >= exact), BOUNDS_S[-1])
    lower = max((bound for bound in BOUNDS_S if bound < exact), default=0.0)
    assert lower - 1e-9 <= told <= upper + 1e-9


def test_a_summary_is_in_milliseconds_and_leaves_out_what_was_not_reached() -> None:
    meters = Meters()
    for _ in range(100):
        meters.camera("porch").published.observe(0.045)
        meters.camera("yard").published.observe(0.045)
    assert meters.summary().keys() == {"published"}
    assert 40 <= meters.summary()["published"]["p50"] <= 50


def test_alerts_are_followed_to_their_acknowledgement() -> None:
    """Those of a clip's own clock are not, nor those of the run before."""
    meter = AlertMeter()
    meter.taken("porch", 1, time.monotonic() - 0.25)
    meter.was_accepted("porch", 1)
    meter.was_acknowledged("porch", 1)
    meter.taken("porch", 2, 12.5 - 1e6)
    meter.was_accepted("porch", 2)
    meter.was_acknowledged("porch", 99)
    assert sum(meter.accepted.counts) == sum(meter.acknowledged.counts) == 1
    assert 0.25 <= meter.acknowledged.total < 5


def test_a_camera_that_is_added_while_the_page_is_written_does_no_harm() -> None:
    """By a reload: there was no page then, but a traceback in the log."""
    meters = Meters()

    class Reloading(FrameMeter):
        def __getattribute__(self, name: str) -> Any:
            meters.camera(f"new{len(meters.cameras)}")
            return super().__getattribute__(name)

    meters.cameras["porch"] = Reloading()
    told = [family.name for family in _latencies(meters)]
    assert "edgerun_frame_latency_seconds" in told


# Who may ask


@pytest.fixture
def server() -> Iterator[Metrics]:
    def nothing() -> Any:
        raise AssertionError("no figures were asked for")

    metrics = Metrics(nothing)
    yield metrics
    metrics.close()


def test_off_is_the_default_and_costs_no_port(server: Metrics) -> None:
    server.apply(MetricsOptions())
    assert server.meters is None
    assert server.address is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "edge.example"])
def test_beyond_loopback_a_token_is_needed(host: str) -> None:
    with pytest.raises(ValueError, match="a token"):
        MetricsOptions(enabled=True, host=host)
    MetricsOptions(enabled=True, host=host, token=Secret("long-enough"))


def test_only_get_only_one_path_only_our_names_only_with_the_token(server: Metrics) -> None:
    """Each refused before any figure is computed."""
    server.apply(MetricsOptions(enabled=True, port=0, token=Secret("s3cret-token")))
    assert server.address is not None
    port = server.address[1]
    good = {"Authorization": "Bearer s3cret-token"}
    assert get(port)[0] == 401
    assert get(port, Authorization="Bearer wrong")[0] == 401
    assert get(port, Authorization="Basic s3cret-token")[0] == 401
    assert get(port, host="evil.example", **good)[0] == 421
    assert get(port, host="", **good)[0] == 421
    assert get(port, "/", **good)[0] == 404
    assert get(port, "/metrics/../config", **good)[0] == 404
    for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
        assert get(port, method=method, **good)[0] == 501
    assert "s3cret" not in get(port)[1]


def test_a_token_may_hold_any_letters(server: Metrics) -> None:
    """Sent in UTF-8, as Prometheus does, while HTTP itself reads its bytes as Latin-1."""
    server.apply(MetricsOptions(enabled=True, port=0, token=Secret("schlüssel-ключ")))
    assert server.address is not None
    port = server.address[1]
    assert get(port, "/", Authorization="Bearer schlüssel-ключ".encode().decode("latin-1"))[0] == 404
    assert get(port, "/", Authorization="Bearer schlüssel")[0] == 401


def test_a_page_that_cannot_be_made_is_told(server: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    server.apply(MetricsOptions(enabled=True, port=0))
    assert server.address is not None
    with pytest.raises(http.client.RemoteDisconnected):
        get(server.address[1])
    wait_for(lambda: "could not be made" in caplog.text and "no figures were asked for" in caplog.text, 5, "the log")


def test_a_client_that_drips_its_request_is_cut_off(server: Metrics) -> None:
    """It would hold up other clients, a reload and the end of the daemon for as long as it likes."""
    server.apply(MetricsOptions(enabled=True, port=0, token=Secret("s3cret-token")))
    assert server.address is not None
    port = server.address[1]
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")

    def is_cut_off() -> bool:
        try:
            connection.sendall(b"x")
        except OSError:
            return True
        return False

    wait_for(is_cut_off, 20, "the connection ends")
    assert get(port)[0] == 401
    connection.close()


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:9464", True),
        ("[::1]:9464", True),
        ("[::1]", True),
        ("192.168.1.5", True),
        ("LOCALHOST:1", True),
        ("pi", True),
        ("pi.local:9464", True),
        ("pi.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_names_that_a_web_page_could_make_up_are_refused(host: str, ours: bool) -> None:
    assert is_ours(host, {"localhost", "pi"}) is ours


def test_a_port_that_is_taken_is_told_and_holds_nothing_up(server: Metrics) -> None:
    other = Metrics(server._latest)
    other.apply(MetricsOptions(enabled=True, port=0))
    assert other.address is not None
    server.apply(MetricsOptions(enabled=True, port=other.address[1]))
    assert "cannot be served at 127.0.0.1" in server.error
    server.apply(MetricsOptions())
    assert server.error == ""
    other.close()


def test_a_port_that_is_free_again_is_taken_at_the_next_reload(server: Metrics) -> None:
    """Of the same file: nothing in it was wrong."""
    other = Metrics(server._latest)
    other.apply(MetricsOptions(enabled=True, port=0))
    assert other.address is not None
    options = MetricsOptions(enabled=True, port=other.address[1])
    server.apply(options)
    other.close()
    server.apply(options)
    assert server.error == ""
    assert server.address == ("127.0.0.1", options.port)


def test_turning_it_off_leaves_no_thread_behind(server: Metrics) -> None:
    for _ in range(3):
        server.apply(MetricsOptions(enabled=True, port=0))
        server.apply(MetricsOptions())
    wait_for(lambda: not [t for t in threading.enumerate() if t.name == "metrics"], 5, "its threads end")


# What is told


def test_the_page_says_how_all_is() -> None:
    """Each figure by its own value: a dashboard and its alarms are built on them, and none is there to be looked at by
    a person who would wonder."""
    gate = replace(CAMERA, fps=4.5, late_fps=1.0, dropped={"late": 7, "paced": 9}, reconnects=2, replaced=1)
    meters = Meters()
    for seconds in (0.001, 0.045, 0.045, 99.0):
        meters.camera("gate").inference.observe(seconds)
    told = report(
        "it is not plugged in",
        restarts=6,
        cameras={"gate": gate, "yard": replace(CAMERA, state="frozen")},
        delivery=DeliveryCounts(
            depth=5, unclaimed=3, evicted=2, accepted=40, delivered=30, refused=4, dropped=8, lost=1, connects=11,
            connected=True,
        ),
        vitals=Vitals(True, (Temperature("soc", 71.5, 80.0),), (Temperature("coral 0", 55.0),), {"cpu": 12}),
    )  # fmt: skip
    page = page_writer(lambda: told, meters)().decode()
    figures = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in page.splitlines() if line[0] != "#"}
    assert (
        figures.items()
        >= {
            'edgerun_camera_ok{camera="gate"}': 1,
            'edgerun_camera_ok{camera="yard"}': 0,
            'edgerun_fps{camera="gate"}': 4.5,
            'edgerun_asked_fps{camera="gate"}': 5,
            'edgerun_frames_dropped_total{camera="gate",cause="late"}': 7,
            'edgerun_frames_dropped_total{camera="gate",cause="paced"}': 9,
            'edgerun_camera_reconnects_total{camera="gate"}': 2,
            'edgerun_captures_replaced_total{camera="gate"}': 1,
            'edgerun_engine_restarts_total{engine="tflite",worker="0"}': 6,
            'edgerun_engine_serving{engine="tflite",worker="0"}': 0,
            "edgerun_mqtt_connected": 1,
            "edgerun_mqtt_connects_total": 11,
            "edgerun_outbox_depth": 5,
            "edgerun_outbox_unclaimed": 3,
            "edgerun_outbox_degraded": 0,
            'edgerun_alerts_total{fate="accepted"}': 40,
            'edgerun_alerts_total{fate="delivered"}': 30,
            'edgerun_alerts_total{fate="refused"}': 4,
            'edgerun_alerts_total{fate="evicted"}': 2,
            'edgerun_alerts_total{fate="lost"}': 1,
            "edgerun_detections_dropped_total": 8,
            'edgerun_temperature_celsius{sensor="soc"}': 71.5,
            'edgerun_temperature_celsius{sensor="coral 0"}': 55,
            'edgerun_throttled{source="cpu"}': 12,
            "edgerun_clock_synced": 1,
            f'edgerun_build{{engine="tflite",model="person",version="{__version__}"}}': 1,
            'edgerun_inference_seconds_bucket{camera="gate",le="0.002"}': 1,
            'edgerun_inference_seconds_bucket{camera="gate",le="0.04"}': 1,
            'edgerun_inference_seconds_bucket{camera="gate",le="0.05"}': 3,
            'edgerun_inference_seconds_bucket{camera="gate",le="30.0"}': 3,
            'edgerun_inference_seconds_bucket{camera="gate",le="+Inf"}': 4,
            'edgerun_inference_seconds_count{camera="gate"}': 4,
        }.items()
    )
    assert figures['edgerun_inference_seconds_sum{camera="gate"}'] == pytest.approx(99.091)
    assert 10e6 < figures['edgerun_resident_memory_bytes{process="daemon"}'] < 10e9
    assert "edgerun_clock_synced" not in page_writer(report, meters)().decode()


# The real thing


@pytest.mark.broker
@needs_mosquitto
def test_a_daemon_tells_its_figures(tmp_path: Path) -> None:
    """The page parses, the state has the summary, and the dashboard asks for nothing that is not there."""
    port = free_port()
    with Mosquitto(tmp_path / "broker") as broker:
        wanted = {
            "device": "pi",
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            "metrics": {"enabled": True, "port": port},
            "cameras": {"gate": camera(clip())},
        }
        with Subscriber(broker.port), DaemonProcess(tmp_path / "daemon", wanted) as daemon:
            daemon.ready()
            wait_for(lambda: 'fate="delivered"} 0.0' not in get(port)[1], 20, daemon.log)
            status, page = get(port)
            assert status == 200
            families = {family.name: family for family in text_string_to_metric_families(page)}
            stages = {s.labels["stage"] for s in families["edgerun_frame_latency_seconds"].samples}
            assert stages == {"looked", "inferred", "published"}
            counted = {
                s.labels["stage"]: s.value
                for s in families["edgerun_alert_latency_seconds"].samples
                if s.name.endswith("_count")
            }
            assert counted["accepted"] >= counted["acknowledged"] > 0
            wait_for(lambda: "acknowledged" in daemon.health()["latency_ms"], 5, daemon.log)
            assert asked_for() <= samples(page)
            daemon.write({**wanted, "metrics": {}, "state_dir": str(tmp_path / "daemon" / "state")})
            daemon.signal(signal.SIGHUP)
            wait_for(lambda: not daemon.health()["latency_ms"], 15, daemon.log)
            with pytest.raises(ConnectionRefusedError):
                get(port)
            assert daemon.stop() == 0


def samples(page: str) -> set[str]:
    """Names of samples that a page has, and of those that only some devices have."""
    found = {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}
    declared = {family.name for family in text_string_to_metric_families(page)}
    return found | declared | {"edgerun_clock_synced"}


def asked_for() -> set[str]:
    """Names of all metrics in the dashboard."""
    dashboard = json.loads((ROOT / "configs" / "grafana.json").read_text())
    written = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    written += [one["query"] for one in dashboard["templating"]["list"]]
    return {name for text in written for name in re.findall(r"edgerun_\w+", text)}
