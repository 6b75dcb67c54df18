"""The type table: fields, types, presence, list keys, patch keys and protobuf numbers of every builtin message."""

from tiphys.api.schema.table import definitions, message, message_of, short_name
from tiphys.api.schema.types import Field, Kind, Message, Shape

__all__ = ["Field", "Kind", "Message", "Shape", "definitions", "message", "message_of", "short_name"]
