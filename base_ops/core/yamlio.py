"""Reading YAML that people wrote: safe, no duplicate keys, and every fault with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from base_ops.core.errors import ConfigError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlDocument:
    """A parsed YAML file that still knows the line of each key."""

    def __init__(self, data: Any, lines: dict[tuple[Any, ...], int], name: str) -> None:
        self.data = data
        self.name = name
        self._lines = lines

    def line(self, *path: Any) -> int:
        """Line (from 1) of the key at `path`, or of its nearest known parent."""
        for end in range(len(path), -1, -1):
            if path[:end] in self._lines:
                return self._lines[path[:end]]
        return 1

    def where(self, *path: Any) -> str:
        key = ".".join(str(p) for p in path)
        return f"{self.name}, line {self.line(*path)}" + (f", key {key}" if key else "")


def load_yaml(path: Path) -> YamlDocument:
    """Read a YAML file.

    Raises:
        ConfigError: unreadable, not YAML, or with a duplicate key; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", code="unreadable_config", where=str(path)) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> YamlDocument:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines: dict[tuple[Any, ...], int] = {}
        if node is not None:
            _walk(loader, node, (), lines, name)
        data = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(
            f"{name} is not valid YAML: {error.problem or error.context}",
            code="bad_yaml",
            where=f"{name}, line {line}",
        ) from None
    finally:
        loader.dispose()
    return YamlDocument(data, lines, name)


def _walk(loader: Any, node: Any, path: tuple[Any, ...], lines: dict[tuple[Any, ...], int], name: str) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[Any] = set()
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            here = key_node.start_mark.line + 1
            if key in seen:
                raise ConfigError(
                    f"{name} has the key {key!r} twice", code="duplicate_key", where=f"{name}, line {here}, key {key}"
                )
            seen.add(key)
            lines[(*path, key)] = here
            _walk(loader, value_node, (*path, key), lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(loader, item, (*path, index), lines, name)
