"""From a descriptor set to a message class."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.data_ingestion.options.binary import ProtobufOptions

_WHERE = "spec.read.protobuf"
_MAX_BYTES = 64 << 20
_KNOWN = ("any", "api", "duration", "empty", "field_mask", "source_context", "struct", "timestamp", "type", "wrappers")


def message_class(options: ProtobufOptions) -> Any:
    """The class of the message type.

    Raises:
        ConfigError: the descriptor set cannot be read, is not complete, or does not have the type.
    """
    files = _files(options.descriptor)
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()
    for name in files:
        _add(name, files, pool, added, ())
    try:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(options.message))
    except KeyError:
        known = [f"{f.package}.{m.name}".lstrip(".") for f in files.values() for m in f.message_type]
        raise ConfigError(
            f"The descriptor has no message {options.message!r}. {did_you_mean(options.message, known[:100])}",
            code="unknown_message",
            where=f"{_WHERE}.message",
        ) from None


def _files(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_BYTES)
        found = descriptor_pb2.FileDescriptorSet.FromString(data)
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from None
    except DecodeError:
        raise _unusable(path, "what is no FileDescriptorSet") from None
    if not found.file:
        raise _unusable(path, "no file in it")
    return {file.name: file for file in found.file}


def _add(name: str, files: dict[str, Any], pool: Any, added: set[str], path: tuple[str, ...]) -> None:
    """Add a file behind the files it imports; Google's own may be left out of the set."""
    if name in added:
        return
    file = files.get(name) or _well_known(name)
    if file is None:
        raise _unusable(path[-1] if path else name, f"{name} is imported, but not in the set (--include_imports)")
    if name in path:
        raise _unusable(name, "files that import each other")
    for other in file.dependency:
        _add(other, files, pool, added, (*path, name))
    try:
        pool.Add(file)
    except (TypeError, ValueError) as error:
        raise _unusable(name, str(error)[:300]) from None
    added.add(name)


def _well_known(name: str) -> Any:
    stem = name.removeprefix("google/protobuf/").removesuffix(".proto")
    if stem not in _KNOWN or not name.startswith("google/protobuf/"):
        return None
    file = descriptor_pb2.FileDescriptorProto()
    import_module(f"google.protobuf.{stem}_pb2").DESCRIPTOR.CopyToProto(file)
    return file


def _unusable(path: str, found: str) -> ConfigError:
    return ConfigError(
        "The descriptor set cannot be used",
        code="bad_descriptor",
        where=f"{_WHERE}.descriptor, {path}",
        found=found,
        todo="make it by protoc --descriptor_set_out=… --include_imports",
    )
