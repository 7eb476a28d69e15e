"""What is measured, and whether anybody may ask for it. What is off costs nothing, no import either."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgerun.config.upkeep import MetricsOptions
from edgerun.runtime.cameras.camera import Camera
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.runtime.health.report import Report
from edgerun.runtime.meters import Meters

if TYPE_CHECKING:
    from edgerun.runtime.health.metrics_server import MetricsServer

log = logging.getLogger(__name__)


class Metrics:
    """On or off as the options say; what is off costs nothing."""

    def __init__(self, latest: Callable[[], Report]) -> None:
        self.meters: Meters | None = None
        self.address: tuple[str, int] | None = None
        """Where it listens."""
        self.error = ""
        """Why it does not, though it should."""
        self._latest = latest
        self._options = MetricsOptions()
        self._server: MetricsServer | None = None

    def apply(self, options: MetricsOptions) -> None:
        """Turn on or off, or listen elsewhere. What cannot be done is told, and holds nothing else up; it is tried
        again when asked for the next time."""
        if options == self._options and not self.error:
            return
        self.close()
        self._options, self.error = options, ""
        self.meters = (self.meters or Meters()) if options.enabled else None
        if self.meters is None:
            return
        try:
            from edgerun.runtime.health.metrics_server import MetricsServer, page_writer

            self._server = MetricsServer(options, page_writer(self._latest, self.meters))
        except ImportError:
            self.error = "metrics need prometheus-client: pip install 'edgerun[metrics]'"
        except OSError as error:
            self.error = f"metrics cannot be served at {options.host}:{options.port}: {error.strerror or error}"
        if self._server is None:
            log.error("%s", self.error)
            return
        host, port = self._server.server_address[:2]
        self.address = (str(host), port)
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        log.info("metrics at http://%s:%d/metrics", host, port)

    def attach(self, cameras: Mapping[str, Camera], delivery: Delivery) -> None:
        """Measure these from now on; none of them while it is off."""
        for name, camera in cameras.items():
            camera.meter = self.meters.camera(name) if self.meters and not camera.lossless else None
        delivery.meter = self.meters.alerts if self.meters else None

    def summary(self) -> dict[str, dict[str, float]]:
        """See ``Meters``; nothing while it is off."""
        return self.meters.summary() if self.meters else {}

    def close(self) -> None:
        server, self._server, self.address = self._server, None, None
        if server is not None:
            server.shutdown()
            server.server_close()
