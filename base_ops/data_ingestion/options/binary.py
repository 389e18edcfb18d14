"""Options of binary formats."""

from __future__ import annotations

from typing import Literal

from base_ops.core.spec import Spec


class ParquetOptions(Spec):
    """read.parquet: how Parquet files are read."""

    wrong_checksums: Literal["flag", "refuse"] = "flag"
    """Of pages whose checksum is wrong: flag takes their values and reports an error; refuse takes none of the file."""


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
    framing: Literal["delimited", "single"] = "delimited"
    """delimited: each message behind its length as a varint (writeDelimitedTo); single: the object is one message."""
