"""Plays the rows and prints the scorecard. See ``run``."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from faults import cameras, clocks, disk, engines, fuzz, hostile, kills, links, offline, service, soak, traces
from faults.row import Outcome, Row, Terms

_MODULES = (cameras, clocks, disk, engines, fuzz, hostile, kills, links, offline, service, soak, traces)
ROWS = sorted((row for module in _MODULES for row in module.ROWS), key=lambda row: row.number)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/faults/run", description="The scorecard of reliability.")
    parser.add_argument("rows", nargs="*", type=int, metavar="ROW", help="numbers of rows (default: all)")
    parser.add_argument("--short", action="store_true", help="every row in its brief form")
    parser.add_argument("--seed", type=int, default=1, help="of all chance (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    args = parser.parse_args()
    chosen = [row for row in ROWS if not args.rows or row.number in args.rows]
    results = []
    for row in chosen:
        print(f"{row.number:2} {row.title} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        outcome = _play(row, args.seed, args.short)
        results.append((row, outcome, time.monotonic() - began))
        print(f"   {outcome.figure}", file=sys.stderr, flush=True)
    _print(results)
    if args.json:
        found = [
            {"row": row.number, "title": row.title, "target": row.target, "figure": outcome.figure}
            | {"passed": outcome.passed, "took_s": round(took_s, 1), "short": args.short, "seed": args.seed}
            for row, outcome, took_s in results
        ]
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(outcome.passed is False for _, outcome, _ in results))


def _play(row: Row, seed: int, short: bool) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="edgerun-faults-") as folder:
        terms = Terms(Path(folder), random.Random(f"{seed}/{row.number}"), short, lambda text: print("  ", text))
        try:
            return row.play(terms)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            return Outcome(str(error).strip()[-2000:], False)


def _print(results: list[tuple[Row, Outcome, float]]) -> None:
    for row, outcome, took_s in results:
        word = {True: "ok", False: "FELL SHORT", None: "not played"}[outcome.passed]
        print(f"{row.number:2}  {word:10}  {row.title}  ({took_s:.0f} s)")
        print(f"      figure  {outcome.figure}")
        print(f"      target  {row.target}")


if __name__ == "__main__":
    sys.exit(main())
