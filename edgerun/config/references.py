"""What types alone cannot see: names that stand for topics, rules that point to nothing, models and labels that nobody
knows."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Generator, Iterable, Iterator

from edgerun.config.text import Loc, Node, Problem, dotted
from edgerun.config.tree import DEFAULT_MODEL
from edgerun.errors import ModelError
from edgerun.models.catalogue import catalogue
from edgerun.models.store import folders

CAMERA_TOPICS = ("status", "state", "cmd", "ack")
"""What stands beside the cameras under a device's topic."""
ZONE_TOPICS = ("state", "detections", "alerts", "snapshot")
"""What stands beside the zones under a camera's topic."""


def references(root: Node) -> Iterator[Problem]:
    """What a tree of nodes names and is not there."""
    labels: tuple[str, ...] = ()
    model = root.get("model") or Node(1, {})
    path, named = model.get("path"), model.get("name")
    if path is None or not path.value:
        labels = yield from _catalogued(model, named)
    elif named is not None and named.value is not None:
        yield Problem(model.line, "model", "has both a name and a path; give the one that is meant")
    for name, camera in _items(root.get("cameras")):
        here: Loc = ("cameras", name)
        if name in CAMERA_TOPICS:
            yield _taken(camera, here, CAMERA_TOPICS)
        for zone, node in _items(camera.get("zones")):
            if zone in ZONE_TOPICS:
                yield _taken(node, (*here, "zones", zone), ZONE_TOPICS)
        yield from _rule_references(camera, here)
        if labels:
            yield from _unknown_labels(camera, here, labels)
        yield from _labels_left_out(camera, here, labels)


def _catalogued(model: Node, named: Node | None) -> Generator[Problem, None, tuple[str, ...]]:
    """The labels of the model that is named, or else of the default; none where they are not known."""
    try:
        entries = catalogue(folders())
    except ModelError as error:
        yield Problem((named or model).line, "model.name", str(error))
        return ()
    if named is None or named.value is None:
        return entries[DEFAULT_MODEL].labels
    yield from _absent(named, sorted(entries), "no model is called", ("model", "name"))
    return entries[named.word].labels if named.word in entries else ()


def _unknown_labels(camera: Node, here: Loc, labels: tuple[str, ...]) -> Iterator[Problem]:
    rules = enumerate(_entries(camera.get("rules")))
    groups = enumerate(_entries((camera.get("tracker") or Node(1, {})).get("alike")))
    places: list[tuple[Loc, Node | None]] = [
        ((*here, "labels"), camera.get("labels")),
        *(((*here, "rules", index, "labels"), rule.get("labels")) for index, rule in rules),
        *(((*here, "tracker", "alike", index), group) for index, group in groups),
    ]
    for loc, place in places:
        for index, label in enumerate(_entries(place)):
            yield from _absent(label, labels, "the model does not know the label", (*loc, index))


def _labels_left_out(camera: Node, here: Loc, labels: tuple[str, ...]) -> Iterator[Problem]:
    """What rules ask for and the camera does not keep; ``labels`` are the model's, as far as they are known."""
    kept = _entries(camera.get("labels"))
    names = [label.word for label in kept if label.word is not None]
    if not kept or len(names) < len(kept):
        return
    for index, rule in enumerate(_entries(camera.get("rules"))):
        for position, label in enumerate(_entries(rule.get("labels"))):
            text = label.word
            if text is not None and text not in names and (text in labels or not labels):
                message = f"the camera's own labels leave {text!r} out{hint(text, names)}"
                yield Problem(label.line, dotted((*here, "rules", index, "labels", position)), message)


def _entries(node: Node | None) -> list[Node]:
    return node.value if node is not None and isinstance(node.value, list) else []


def _rule_references(camera: Node, here: Loc) -> Iterator[Problem]:
    written = _entries(camera.get("rules"))
    names = [name.word for rule in written if (name := rule.get("name")) and name.word is not None]
    nested = [name.word for rule in written if (name := rule.get("name")) and _is_all(rule)]
    seen: set[str] = set()
    for index, rule in enumerate(written):
        at: Loc = (*here, "rules", index)
        for kind in ("zone", "line"):
            there = dict(_items(camera.get(f"{kind}s")))
            yield from _absent(rule.get(kind), there, f"this camera has no {kind}", (*at, kind))
        for position, other in enumerate(_entries(rule.get("all"))):
            yield from _absent(other, names, "this camera has no rule", (*at, "all", position))
            if other.word is not None and other.word in nested:
                message = f"the rule {other.word!r} has when: all itself; name the rules that it is made of"
                yield Problem(other.line, dotted((*at, "all", position)), message)
        name = rule.get("name")
        if name and name.word is not None:
            if name.word in seen:
                message = f"a rule above is called {name.word!r} too; every rule of a camera needs its own name"
                yield Problem(name.line, dotted((*at, "name")), message)
            seen.add(name.word)


def _is_all(rule: Node) -> bool:
    when = rule.get("when")
    return when is not None and when.value == "all"


def _absent(node: Node | None, there: Collection[str], says: str, loc: Loc) -> Iterator[Problem]:
    """Where what a node names is not among what is there."""
    if node is not None and node.word is not None and node.word not in there:
        yield Problem(node.line, dotted(loc), f"{says} {node.word!r}{hint(node.word, there)}")


def _items(node: Node | None) -> Iterable[tuple[str, Node]]:
    return node.value.items() if node and isinstance(node.value, dict) else ()


def _taken(node: Node, loc: Loc, names: Iterable[str]) -> Problem:
    return Problem(node.line, dotted(loc), f"this name is taken by a topic; any but {', '.join(names)} will do")


def hint(wrong: str, allowed: Iterable[str]) -> str:
    """What may have been meant, and what there is."""
    names = list(dict.fromkeys(allowed))
    near = difflib.get_close_matches(wrong, names, n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"{guess} (there are: {', '.join(names)})" if names else f"{guess} (there are none)"
