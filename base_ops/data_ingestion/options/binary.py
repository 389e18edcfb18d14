"""Options of binary formats."""

from __future__ import annotations

from base_ops.core.spec import Spec


class AvroOptions(Spec):
    """read.avro: how Avro files are read."""

    reader_schema: str | None = None
    """JSON text of the schema that records are resolved to; default: the file's own."""


class ProtobufOptions(Spec):
    """read.protobuf: what the messages are."""

    descriptor: str
    """Path of a FileDescriptorSet (protoc --descriptor_set_out --include_imports)."""
    message: str
    """Full name of the message type, e.g. market.v1.Trade."""
