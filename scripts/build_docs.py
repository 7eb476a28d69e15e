"""Writes docs/config.md and the plugins' samples in configs/ from the configuration's schema.

python scripts/build_docs.py           writes what has changed
python scripts/build_docs.py --check   says what has, and exits 1
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgerun.config import json_schema, plugin_tables

ROOT = Path(__file__).resolve().parents[1]

EXAMPLES = {
    ("sources", "file", "path"): "/var/lib/edgerun/clip.mp4",
    ("sources", "gstreamer", "pipeline"): '"videotestsrc is-live=true ! videoconvert"',
    ("sources", "http", "url"): "http://192.168.1.10/video.mjpg",
    ("sources", "images", "path"): "/var/lib/edgerun/pictures",
    ("sources", "rtsp", "url"): '"rtsp://viewer:${CAM_PASSWORD}@192.168.1.10:554/stream2"',
    ("engines", "remote", "url"): "http://192.168.1.20:8000",
}
"""What to write for options without a default."""
MODEL_FILES = {"onnx": "model.onnx", "openvino": "model.onnx", "tensorrt": "model.onnx", "ncnn": "model.param"}
MODEL_FILES |= {"executorch": "model.pte", "edgetpu": "model_edgetpu.tflite"}
CAMERA = "cameras:\n  front:\n    source: {type: v4l2}\n"

INTRODUCTION = """\
# Configuration reference

<!-- Written by scripts/build_docs.py from the options themselves. Do not edit. -->

One YAML file, by default `/etc/edgerun/edgerun.yaml`. Only `cameras` with a `source` each must be written; everything
else has a default. `edgerun check FILE` tells every mistake with its line; `edgerun schema config` prints the same
reference as a JSON Schema for editors. `configs/` has whole examples and a sample for each plugin.

- An unknown key is an error. A key without a value counts as not written.
- Values are read by what the option is, not by how they look: `schedule: 22:00-06:00` needs no quotes, and `no` is a
  text where a text is wanted.
- `${NAME}` within a text is replaced by that environment variable (`$${` stands for `${` itself). Inside `{ }` and
  `[ ]` it needs quotes.
- Any single value may also be `{env: NAME}`, an environment variable, or `{file: NAME}`, a file in systemd's
  credentials directory, beside the configuration, or at a path from `/` or `~`. Use these for passwords.
- A path may begin with `~`, the home of the user that edgerun runs as. One that is not whole, such as `model.tflite`,
  counts from the folder that edgerun is started in: the service starts in `/`, so write whole paths for it.
- Names of the device, cameras, zones and lines are 1 to 32 of `a-z`, `0-9`, `_` and `-`.
- Refused: more than 256 KB, more than 32 levels, YAML anchors, aliases and tags, duplicate keys, NaN and infinity.
- SIGHUP (`systemctl reload edgerun`) reads the file again. Zones, rules and all else about how a camera is
  looked at change while it stays connected; another source, `fps` or model (but for its `score`) opens it anew. Unless
  the source or the model's labels are others, tracks keep their ids, and rules that are as before, as are their zone
  and line, what they know. A rule or zone that is new or changed begins with who is there: nobody enters where they
  already are. A file with mistakes changes nothing.
"""
TITLES = {
    "sources": "Sources: `source: {type: ...}` of a camera",
    "engines": "Engines: `engine:` of the model, a name or `{type: ...}`",
    "heads": "Heads: `head:` of the model, a name or `{type: ...}`",
}


def reference(schema: dict[str, Any]) -> str:
    """The whole of docs/config.md."""
    parts = [INTRODUCTION, "## The file\n", *_table(schema, schema)]
    for name in _in_order(schema):
        title = name.removesuffix("Options")
        parts += [f"## {title}\n", *_about(schema["$defs"][name]), *_table(schema["$defs"][name], schema)]
    for room, title in TITLES.items():
        parts.append(f"## {title}\n")
        for name, options in _rows(room, schema).items():
            parts += [f"### {room}: {name}\n", *_about(options), *_table(options, schema)]
    return "\n".join(parts).rstrip("\n") + "\n"


def _in_order(schema: dict[str, Any]) -> list[str]:
    """The definitions, each after the first that mentions it; plugins' options are no definitions."""
    found: list[str] = []

    def visit(node: Any) -> None:
        if isinstance(node, list):
            for child in node:
                visit(child)
        elif isinstance(node, dict):
            name = node.get("$ref", "").rsplit("/", 1)[-1]
            if name and name not in found:
                found.append(name)
                visit(schema["$defs"][name])
            for child in node.values():
                visit(child)

    visit({key: value for key, value in schema.items() if key != "$defs"})
    return found


def _rows(room: str, schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The options of each plugin of a room, as the schema has them."""
    owner, field = {"sources": ("CameraOptions", "source"), "engines": ("ModelChoice", "engine")}.get(
        room, ("ModelChoice", "head")
    )
    variants = schema["$defs"][owner]["properties"][field]["anyOf"]
    return {one["properties"]["type"]["const"]: one for one in variants if "properties" in one}


def _about(options: dict[str, Any]) -> Iterator[str]:
    if "description" in options:
        yield _one_line(options["description"]) + "\n"


def _table(options: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    rows = [(key, one) for key, one in options.get("properties", {}).items() if key != "type" or "const" not in one]
    if not rows:
        yield "No options.\n"
        return
    yield "| key | value | default | |\n|---|---|---|---|"
    for key, one in rows:
        value = _value(one, schema).replace("|", "\\|")
        described = _one_line(one.get("description", "")).replace("|", "\\|")
        yield f"| `{key}` | {value} | {_default(key, one, options)} | {described} |"
    yield ""


def _default(key: str, one: dict[str, Any], options: dict[str, Any]) -> str:
    if key in options.get("required", ()):
        return "**required**"
    if one.get("default") in (None, "", []):
        return ""
    return f"`{_yaml(one['default'])}`"


def _value(one: dict[str, Any], schema: dict[str, Any]) -> str:
    """What may be written, in a few words."""
    if "$ref" in one:
        name = one["$ref"].rsplit("/", 1)[-1]
        return f"[{name.removesuffix('Options')}](#{name.removesuffix('Options').lower()})"
    if "anyOf" in one:
        if any("const" in variant.get("properties", {}).get("type", {}) for variant in one["anyOf"]):
            names = [name for variant in one["anyOf"] for name in variant.get("enum", [])]
            return ", ".join(f"`{name}`" for name in names) + (" or a mapping" if names else "mapping with a `type`")
        words = dict.fromkeys(_value(variant, schema) for variant in one["anyOf"] if variant.get("type") != "null")
        return " or ".join(words)
    if "enum" in one or "const" in one:
        return ", ".join(f"`{choice}`" for choice in one.get("enum", [one.get("const")]))
    kind = one.get("type")
    if kind == "array":
        if "prefixItems" in one:
            return f"[{', '.join(_value(item, schema) for item in one['prefixItems'])}]"
        return f"list of {_value(one.get('items', {}), schema)}"
    if kind == "object":
        inner = [*one.get("patternProperties", {}).values(), one.get("additionalProperties")]
        named = next((child for child in inner if isinstance(child, dict)), None)
        return f"mapping of names to {_value(named, schema)}" if named else "mapping"
    return {"string": "text", "boolean": "`true`, `false`"}.get(str(kind), f"{kind}{_bounds(one)}")


def _bounds(one: dict[str, Any]) -> str:
    low = f"over {one['exclusiveMinimum']:g}" if "exclusiveMinimum" in one else ""
    low = f"from {one['minimum']:g}" if "minimum" in one else low
    high = f"under {one['exclusiveMaximum']:g}" if "exclusiveMaximum" in one else ""
    high = f"to {one['maximum']:g}" if "maximum" in one else high
    return "".join(f" {bound}" for bound in (low, high) if bound)


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def sample(room: str, name: str, options: dict[str, Any]) -> str:
    """One plugin in a configuration that is whole, with each of its options."""
    about = _one_line(options.get("description", ""))
    lines = _comment(f"The {room.removesuffix('s')} `{name}` with all its options and their defaults. {about}".strip())
    body = list(_options(room, name, options))
    if room == "sources":
        lines += ["cameras:", "  front:", "    source:", f"      type: {name}", *(f"      {line}" for line in body)]
    elif room == "sinks":
        first = next(number for number, line in enumerate(body) if re.match(r"# \w+:", line))
        body[first] = body[first].removeprefix("# ")
        lines += [f"{name}:", *(f"  {line}" for line in body), *CAMERA.splitlines()]
    else:
        file = MODEL_FILES.get(name, "model.tflite" if room == "engines" else "model.onnx")
        lines += ["model:", f"  path: /var/lib/edgerun/{file}", "  labels: /var/lib/edgerun/labels.txt"]
        lines += [f"  {room.removesuffix('s')}:", f"    type: {name}", *(f"    {line}" for line in body)]
        lines += CAMERA.splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _options(room: str, name: str, options: dict[str, Any]) -> Iterator[str]:
    for key, one in options.get("properties", {}).items():
        if key == "type" and "const" in one:
            continue
        yield from _comment(_one_line(one.get("description", "")))
        if key in options.get("required", ()):
            if (room, name, key) not in EXAMPLES:
                raise SystemExit(f"{room}/{name} needs an example for {key!r} in EXAMPLES of {Path(__file__).name}")
            yield f"{key}: {EXAMPLES[room, name, key]}"
        elif one.get("default") in (None, ""):
            yield f"# {key}:"
        else:
            yield f"# {key}: {_yaml(one['default'])}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ")


def pages() -> Iterator[tuple[Path, str]]:
    """Every file that this script writes."""
    schema = json_schema()
    yield ROOT / "docs" / "config.md", reference(schema)
    sinks = {"mqtt": schema["$defs"]["MqttOptions"], "stdout": schema["$defs"]["StdoutOptions"]}
    for room, names in plugin_tables().items():
        rows = sinks if room == "sinks" else _rows(room, schema)
        for name in names:
            yield ROOT / "configs" / room / f"{name}.yaml", sample(room, name, rows[name])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if something is out of date")
    check = parser.parse_args().check
    stale = [(path, text) for path, text in pages() if not path.is_file() or path.read_text() != text]
    for path, text in stale:
        print(f"{path.relative_to(ROOT)} {'is out of date: run scripts/build_docs.py' if check else 'written'}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
