"""JSON Schemas of every payload, and the documents made of them."""

from edgerun.schemas.documents import asyncapi, mqtt_schemas
from edgerun.schemas.payloads import COMMANDS, PAYLOADS

__all__ = ["COMMANDS", "PAYLOADS", "asyncapi", "mqtt_schemas"]
