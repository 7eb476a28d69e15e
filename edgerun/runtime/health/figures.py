"""The state of the daemon as Prometheus' metric families. Imports prometheus-client only when asked for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from edgerun import __version__
from edgerun.runtime.health.report import STARTED, Report
from edgerun.runtime.meters import BOUNDS_S, AlertMeter, FrameMeter, Histogram, Meters

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

K = TypeVar("K", bound=tuple[str, ...])


def figures(report: Report, meters: Meters) -> Iterator[Metric]:
    """Every metric there is. Raises ImportError."""
    yield from _latencies(meters)
    yield from _cameras(report)
    yield from _engines(report)
    yield from _delivery(report)
    yield from _device(report)


def _latencies(meters: Meters) -> Iterator[Metric]:
    cameras = meters.cameras.copy().items()  # a reload may add one while they are gone through
    yield _histograms(
        "edgerun_frame_latency_seconds",
        "From a frame's capture until it was looked at, inferred, published.",
        ("camera", "stage"),
        {(name, stage): getattr(meter, stage) for name, meter in cameras for stage in FrameMeter.STAGES},
    )
    yield _histograms(
        "edgerun_inference_seconds",
        "What the engine took for a frame.",
        ("camera",),
        {(name,): meter.inference for name, meter in cameras},
    )
    yield _histograms(
        "edgerun_alert_latency_seconds",
        "From a frame's capture until its alert was accepted, and acknowledged by the broker.",
        ("stage",),
        {(stage,): getattr(meters.alerts, stage) for stage in AlertMeter.STAGES},
    )


def _cameras(report: Report) -> Iterator[Metric]:
    by = ("camera",)
    told = {(name,): camera for name, camera in report.cameras.items()}
    yield _gauge("edgerun_camera_ok", "1 while the camera is ok.", by, {k: c.state == "ok" for k, c in told.items()})
    yield _gauge("edgerun_fps", "Frames looked at a second.", by, {key: c.fps for key, c in told.items()})
    yield _gauge("edgerun_asked_fps", "Frames asked for.", by, {key: c.asked_fps for key, c in told.items()})
    dropped = {(*key, cause): count for key, c in told.items() for cause, count in c.dropped.items()}
    yield _counter("edgerun_frames_dropped", "Frames not looked at, by cause.", (*by, "cause"), dropped)
    reconnects = {key: c.reconnects for key, c in told.items()}
    yield _counter("edgerun_camera_reconnects", "Times a source was opened again.", by, reconnects)
    replaced = {key: c.replaced for key, c in told.items()}
    yield _counter("edgerun_captures_replaced", "Captures that hung and were left behind.", by, replaced)


def _engines(report: Report) -> Iterator[Metric]:
    told = {(str(one.number), one.candidate.name): (one, reason) for one, reason in report.detector.dispatcher.roster}
    by = ("worker", "engine")
    restarts = {key: worker.restarts for key, (worker, _) in told.items()}
    yield _counter("edgerun_engine_restarts", "Starts after a death.", by, restarts)
    serving = {key: not reason for key, (_, reason) in told.items()}
    yield _gauge("edgerun_engine_serving", "1 while it serves.", by, serving)


def _delivery(report: Report) -> Iterator[Metric]:
    counts = report.delivery
    yield _gauge("edgerun_mqtt_connected", "1 while the broker is connected.", (), {(): counts.connected})
    yield _counter("edgerun_mqtt_connects", "Connections to the broker.", (), {(): counts.connects})
    yield _gauge("edgerun_outbox_depth", "Alerts that are not delivered.", (), {(): counts.depth})
    yield _gauge("edgerun_outbox_unclaimed", "Those taken with nobody listening.", (), {(): counts.unclaimed})
    yield _gauge("edgerun_outbox_degraded", "1 while alerts are only in memory.", (), {(): counts.degraded})
    fates = ("accepted", "delivered", "refused", "evicted", "lost")
    told = {(fate,): getattr(counts, fate) for fate in fates}
    yield _counter("edgerun_alerts", "Alerts by what became of them.", ("fate",), told)
    yield _counter("edgerun_detections_dropped", "Detections no connection took.", (), {(): counts.dropped})


def _device(report: Report) -> Iterator[Metric]:
    vitals = report.vitals
    heat = {(one.name,): one.celsius for one in (*vitals.zones, *vitals.corals)}
    yield _gauge("edgerun_temperature_celsius", "By sensor.", ("sensor",), heat)
    throttled = {(source,): count for source, count in vitals.throttled.items()}
    yield _gauge("edgerun_throttled", "Events of throttling since the device started.", ("source",), throttled)
    if vitals.clock_synced is not None:
        yield _gauge("edgerun_clock_synced", "1 while the network sets the clock.", (), {(): vitals.clock_synced})
    memory = {(name,): size * 1e6 for name, size in report.memory_mb().items()}
    yield _gauge("edgerun_resident_memory_bytes", "By process.", ("process",), memory)
    yield _gauge("edgerun_uptime_seconds", "Since the daemon started.", (), {(): STARTED.age_s})
    what = (__version__, report.detector.model.name, report.detector.engine)
    yield _gauge("edgerun_build", "Always 1; what runs is in the labels.", ("version", "model", "engine"), {what: 1})


def _gauge(name: str, about: str, by: tuple[str, ...], values: Mapping[K, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, about, labels=by)
    for labels, value in values.items():
        family.add_metric(labels, float(value))
    return family


def _counter(name: str, about: str, by: tuple[str, ...], values: Mapping[K, int]) -> Metric:
    """Its samples are called ``<name>_total``."""
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, about, labels=by)
    for labels, value in values.items():
        family.add_metric(labels, float(value))
    return family


def _histograms(name: str, about: str, by: tuple[str, ...], values: Mapping[K, Histogram]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, about, labels=by)
    for labels, histogram in values.items():
        reached, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), list(histogram.counts), strict=True):
            reached += count
            buckets.append((bound, reached))
        family.add_metric(labels, buckets, histogram.total)
    return family
