"""``edgerun schema``: what may be configured and what is published, for editors, code generators and tests."""

from __future__ import annotations

import argparse
import json

from edgerun.config import editor_schema
from edgerun.schemas import asyncapi, mqtt_schemas

_DOCUMENTS = {"config": editor_schema, "mqtt": mqtt_schemas, "asyncapi": asyncapi}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "document",
        nargs="?",
        choices=list(_DOCUMENTS),
        default="mqtt",
        help="config: JSON Schema of the configuration; mqtt: of all messages; asyncapi: AsyncAPI 3 (default: mqtt)",
    )


def run(args: argparse.Namespace) -> int:
    print(json.dumps(_DOCUMENTS[args.document](), indent=2, ensure_ascii=False))
    return 0
