"""Protocol Buffers (proto2, proto3, editions): a stream of messages, each behind its length, or a single message.

Nothing in the bytes says what they mean, so `read.protobuf` names a descriptor set (protoc --descriptor_set_out=…
--include_imports) and a message type. Columns and types come from the descriptor, in the order of its fields:

    numbers, bool, bytes        as declared, also unsigned ones
    string                      text; one that is not UTF-8 refuses its record
    enum                        its name; a number without a name stays as a number, in digits
    message                     a.b columns (nested: flatten), else a struct; one without fields: true where it is set
    repeated, map               list; list of key and value
    Timestamp, Duration         timestamp in UTC, duration; nanoseconds where the first records need them
    wrappers, Struct, Any       nullable scalar; JSON text; struct of type_url and value
    not set                     null where the field can tell (optional, oneof, messages, proto2), else its default

Fields that the descriptor does not have are counted in a finding. A message that cannot be parsed refuses the object,
with its position, since its length may be wrong as well.
"""

from __future__ import annotations

from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource


class ProtobufFormat:
    """Protocol Buffers."""

    name = "protobuf"
    suffixes = (".pb", ".binpb", ".protobuf")

    def sniff(self, head: bytes, name: str) -> float:
        """Possible, but never told by content: the format has to be declared."""
        return 0.1 if head else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.protobuf.reader import ProtobufReader

        if spec.protobuf is None:
            raise ConfigError(
                "Protocol Buffers cannot be read without a descriptor",
                code="missing_option",
                where="spec.read.protobuf",
                todo="set read.protobuf.descriptor (protoc --descriptor_set_out=… --include_imports) and .message",
            )
        return ProtobufReader(source, spec, spec.protobuf)


FORMAT = ProtobufFormat()
