"""``edgerun detect``: what a model sees in still images."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from edgerun import config
from edgerun.cli.arguments import literal, spare
from edgerun.cli.ending import FAILED
from edgerun.config.tree import DEFAULT_MODEL
from edgerun.errors import ConfigError, SourceError
from edgerun.labels import label
from edgerun.logs import plain, plain_lines
from edgerun.models import is_path
from edgerun.pipeline import Look
from edgerun.regions import Region, RegionOptions
from edgerun.regions.crops import Canvas
from edgerun.regions.joining import join
from edgerun.runtime.inference.session import Session
from edgerun.sources.images import picture
from edgerun.types import Detections, Frame

_MOST_PARTS = 100


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    add_model_arguments(parser)
    parser.add_argument("--score", type=float, default=0.5, metavar="S", help="least score, 0-1 (default 0.5)")
    parser.add_argument("--regions", action="store_true", help="also look at parts of the image, for small objects")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--save", type=Path, metavar="DIR", help="write each image there with its boxes drawn")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """``--model --labels --engine --head``, as ``model_choice`` reads them."""
    options = "a name, or with options as in the configuration: '{type: remote, url: \"http://10.0.0.9:8000\"}'"
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="M", help="a catalogue name, or a model file")
    parser.add_argument("--labels", default="", metavar="FILE", help="one label a line, the first is class 0")
    parser.add_argument("--engine", default="auto", metavar="E", help=options)
    parser.add_argument("--head", default="auto", metavar="H", help="in the same ways")


def model_choice(args: argparse.Namespace) -> config.ModelChoice:
    """What the model arguments ask for. Raises ConfigError."""
    kind = "path" if is_path(args.model) else "name"
    options = {kind: literal(args.model), "engine": args.engine, "head": args.head}
    if args.labels:
        options["labels"] = literal(args.labels)
    return config.model(options, Path.cwd())


def run(args: argparse.Namespace) -> int:
    if not 0 <= args.score <= 1:
        raise ConfigError(f"--score is {args.score}; it goes from 0 to 1")
    choice = model_choice(args)
    names = _drawing_names(args.images)
    if args.save:
        args.save.mkdir(parents=True, exist_ok=True)
        for name in names:
            spare(args.images, args.save / name)
    results: list[dict[str, Any]] = []
    with Session(choice) as session, _told_at_the_end(results, as_json=args.json):
        for number, (path, name) in enumerate(zip(args.images, names, strict=True)):
            try:
                frame = Frame.of_bgr(picture(path), path.name, number)
            except SourceError as error:  # the others are looked at all the same
                print(f"edgerun: {plain_lines(str(error))}", file=sys.stderr)
                continue
            size = frame.stamp.width, frame.stamp.height
            look = Look(frame, parts_of(size, session.io.size)) if args.regions else Look.whole(frame)
            parts = session.infer(look).parts
            found = join(parts, None, size, RegionOptions()) if args.regions else parts[0][0]
            found = found.take(np.lexsort((*found.xyxy.T[::-1], found.class_id, found.score))[::-1])
            found = found.take(found.score >= args.score)
            results.append(_described(path, found, session.labels))
            if args.save:
                _draw(frame, found, results[-1]["objects"], args.save / name)
            if not args.json:
                _print(results[-1])
    return 0 if len(results) == len(args.images) else FAILED


@contextmanager
def _told_at_the_end(results: list[dict[str, Any]], *, as_json: bool) -> Iterator[None]:
    """Also where that comes early, as with an engine that is unplugged."""
    try:
        yield
    finally:
        if as_json:
            print(json.dumps(results))


def parts_of(size: tuple[int, int], model: tuple[int, int]) -> tuple[Region, ...]:
    """The whole image of ``size`` (width, height), and crops all over it that overlap by half: as large as the model's
    input, so that nothing is made smaller, or larger where they would be too many."""
    canvas = Canvas(size, model)
    scale = 1.0
    while True:
        sides = canvas.side(scale)
        lefts, tops = ({*range(0, size[n] - sides[n], -(-sides[n] // 2)), size[n] - sides[n]} for n in (0, 1))
        if len(lefts) * len(tops) <= _MOST_PARTS:
            break
        scale *= 1.1
    crops = [Region((x, y, x + sides[0], y + sides[1]), "sweep") for y in sorted(tops) for x in sorted(lefts)]
    return Region(canvas.whole, "frame"), *(crop for crop in crops if crop.xyxy != canvas.whole)


def _described(path: Path, found: Detections, labels: tuple[str, ...]) -> dict[str, Any]:
    rows = zip(found.score.tolist(), found.class_id.tolist(), found.xyxy.tolist(), strict=True)
    objects: list[dict[str, Any]] = [
        {"label": label(labels, class_id), "score": round(score, 4), "box_px": [round(edge, 2) for edge in box]}
        for score, class_id, box in rows
    ]
    details = () if found.details is None else found.details.tolist()
    for thing, detail in zip(objects, details, strict=False):
        for name, points in (("polygon_px", detail.polygon), ("keypoints_px", detail.keypoints)):
            if points is not None:
                thing[name] = points.astype(float).round(2).tolist()
    return {"image": str(path), "objects": objects}


def _print(result: dict[str, Any]) -> None:
    print(f"{plain(result['image'])}: {len(result['objects'])} found")
    for thing in result["objects"]:
        print(f"  {thing['score']:.2f}  {plain(thing['label']):20} {thing['box_px']}")


def _draw(frame: Frame, found: Detections, objects: list[dict[str, Any]], path: Path) -> None:
    from edgerun.drawing import draw_details
    from edgerun.images import to_bgr
    from edgerun.marks import draw
    from edgerun.recording import save

    captions = [f"{thing['label']} {thing['score']:.2f}" for thing in objects]
    picture = draw(to_bgr(frame), found.xyxy, captions)
    draw_details(picture, found.details)
    save(path, picture)


def _drawing_names(images: Iterable[Path]) -> list[str]:
    """Each image's own name as a JPEG's, with a number where another has taken it."""
    names: list[str] = []
    for path in images:
        spares = (f"{path.stem}-{n}.jpg" for n in count(2))
        names.append(next(name for name in chain([f"{path.stem}.jpg"], spares) if name not in names))
    return names
