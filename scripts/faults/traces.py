"""Rows 11 and 12: what the outbox asks of the disk, by strace."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from faults.row import Outcome, Row, Terms
from faults.sender import Sender
from tests.daemon_process import wait_for
from tests.servers.mosquitto import Mosquitto, free_port
from tests.subscriber import Subscriber

_WRITTEN = re.compile(r"= (\d+)$")
_NONE = Outcome("not played: strace is not there (apt install strace)", None)


def _traced(folder: Path, port: int) -> tuple[Sender, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "strace"
    calls = "trace=pwrite64,write,fdatasync,fsync"
    around = ("strace", "-f", "-y", "-e", calls, "-e", "signal=none", "-s", "48", "-o", str(out))
    return Sender(folder, port, around=around), out


def _synced_first(terms: Terms) -> Outcome:
    """Between an alert's last write to the log and the word that it is accepted, the log is synchronized."""
    if shutil.which("strace") is None:
        return _NONE
    count = terms.times(1000, 100)
    sender, out = _traced(terms.folder / "sender", free_port())
    with sender:
        sender.start(20 if terms.short else 50, count)
        sender.reached(120, accepted=count)
        sender.kill()
    dirty, early, accepted = False, 0, 0
    for line in out.read_text(errors="replace").splitlines():
        if "outbox.db-wal>" in line and "pwrite64(" in line:
            dirty = True
        elif "outbox.db-wal>" in line and "fdatasync(" in line:
            dirty = False
        elif "write(1" in line and '"accepted ' in line:
            accepted += 1
            early += dirty
    figure = f"{accepted - early} of {accepted} synchronized before they counted as accepted"
    return Outcome(figure, accepted > 0 and not early)


def _wear(terms: Terms) -> Outcome:
    """One alert a commit, delivered and deleted in the end, as in the field."""
    if shutil.which("strace") is None:
        return _NONE
    count, idle_s = terms.times(2000, 300), terms.times(60, 15)
    with (
        Mosquitto(terms.folder / "broker") as broker,
        Subscriber(broker.port, topic="edgerun/+/+/alerts"),
    ):
        sender, out = _traced(terms.folder / "sender", broker.port)
        with sender:
            sender.start(40, count)
            sender.reached(300, accepted=count, depth=0)
            busy = len(out.read_text(errors="replace").splitlines())
            time.sleep(6)  # until what was delivered is marked so
            settled = len(out.read_text(errors="replace").splitlines())
            time.sleep(idle_s)
            wait_for(lambda: out.stat().st_size > 0, 5, "the trace")
            sender.stop()
    lines = [line for line in out.read_text(errors="replace").splitlines() if "outbox.db" in line]
    everything = out.read_text(errors="replace").splitlines()
    written = sum(_bytes(line) for line in everything[:settled] if "outbox.db" in line and "pwrite64" in line)
    synced = sum("fdatasync(" in line or "fsync(" in line for line in everything[:busy] if "outbox.db" in line)
    idle = sum("sync(" in line for line in everything[settled:] if "outbox.db" in line)
    each = written / count
    figure = (
        f"{each / 1024:.2f} KB written for an alert of about 400 bytes, {synced / count:.2f} fdatasync each; idle "
        f"{idle / idle_s:.3f} a second ({len(lines)} calls traced)"
    )
    return Outcome(figure, each <= 4096 and idle / idle_s <= 0.2)


def _bytes(line: str) -> int:
    match = _WRITTEN.search(line)
    return int(match[1]) if match else 0


ROWS = [
    Row(11, "synchronized before accepted", "100 %", _synced_first),
    Row(12, "wear of the SD card", "<= 4 KB an alert of 400 bytes, <= 0.2 fsync/s idle", _wear),
]
