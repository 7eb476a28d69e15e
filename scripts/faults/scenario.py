"""The outages of ``tests/outages.py`` in full length, as a table. See ``scenario``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.outages import Durations, Outages, Tale


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/faults/scenario", description=__doc__)
    parser.add_argument("--broker-s", type=float, default=20.0, help="how long the broker is away")
    parser.add_argument("--rtsp-s", type=float, default=15.0, help="how long the RTSP server is away")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgerun-scenario-") as folder:
        tale = Outages(Path(folder), Durations(args.broker_s, args.rtsp_s, calm_s=3.0), print).run()
    return _print(tale)


def _print(tale: Tale) -> int:
    received = {name: len(seqs) for name, seqs in tale.received.items()}
    lines = {
        "alerts accepted": len(tale.accepted),
        "alerts received": f"{sum(received.values())} ({', '.join(f'{name} {n}' for name, n in received.items())})",
        "accepted and missing": len(tale.missing),
        "holes in seq": tale.holes or "none",
        "first deliveries out of order": ", ".join(tale.disordered) or "none",
        "repeats (same id)": tale.repeats,
        "states of the RTSP camera": " -> ".join(tale.camera_states),
        "status": " -> ".join(tale.statuses),
        "the engine's death in the state": tale.engine_reason,
        **{f"recovery after {what}": f"{seconds:.1f} s" for what, seconds in tale.recovered_s.items()},
    }
    print()
    for name, value in lines.items():
        print(f"{name:32} {value}")
    return int(bool(tale.missing or tale.holes or tale.disordered))


if __name__ == "__main__":
    sys.exit(main())
