"""Reading YAML that people wrote: safe, no duplicate keys, and every fault with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from base_ops.core.errors import ConfigError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_MOST_NODES = 100_000
"""Of a file, its anchors written out: beyond, it is a bomb and no configuration."""
_DEEPEST = 100
"""Levels of a file."""
_SHORT = 10_000
"""Characters in which there cannot be so many levels that reading them overruns the C library's stack."""


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
        raw = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or type(error).__name__) from None
    try:
        return parse_yaml(raw.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, "it is not UTF-8", f", line {line}", "save the file as UTF-8") from None


def _unreadable(path: Path, why: str, line: str = "", todo: str = "") -> ConfigError:
    return ConfigError(f"{path} cannot be read: {why}", code="unreadable_config", where=f"{path}{line}", todo=todo)


def parse_yaml(text: str, name: str) -> YamlDocument:
    """Raises: ConfigError, as `load_yaml`."""
    lines: dict[tuple[Any, ...], int] = {}
    try:
        if len(text) > _SHORT:
            _refuse_deep(text, name)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                _walk(loader, node, (), lines, name)
            data = loader.construct_document(node) if node is not None else {}
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        number = mark.line if mark else 0
        raise _bad(name, error.problem or error.context or "", number + 1, _hint(text, number)) from None
    except yaml.reader.ReaderError as error:
        raise _bad(name, "a control character", text.count("\n", 0, error.position) + 1, "take it out") from None
    except RecursionError:
        raise _bad(name, "it is nested too deeply", 1) from None
    return YamlDocument(data, lines, name)


def _refuse_deep(text: str, name: str) -> None:
    """By its events alone, which need no stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            mark = event.start_mark
            raise _bad(name, "it is nested too deeply", mark.line + 1 if mark else 1)


def _bad(name: str, what: str, line: int, todo: str = "") -> ConfigError:
    return ConfigError(f"{name} is not valid YAML: {what}", code="bad_yaml", where=f"{name}, line {line}", todo=todo)


def _hint(text: str, number: int) -> str:
    line = next(iter(text.splitlines()[number : number + 1]), "")
    return "indent by spaces: YAML takes no tabs" if "\t" in line[: len(line) - len(line.lstrip())] else ""


def _walk(loader: Any, node: Any, path: tuple[Any, ...], lines: dict[tuple[Any, ...], int], name: str) -> None:
    here = node.start_mark.line + 1
    lines.setdefault(path, here)
    if len(path) > _DEEPEST:
        raise _bad(name, "it is nested too deeply, or an anchor holds itself", here)
    if len(lines) > _MOST_NODES:
        raise _bad(name, f"with its anchors written out it has more than {_MOST_NODES} values", here)
    if isinstance(node, yaml.MappingNode):
        seen: set[Any] = set()
        for key_node, value_node in node.value:
            here = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:  # `<<: *anchor`: its keys have their lines where they are written
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise _bad(name, "a key that is no text", here)
            key = loader.construct_object(key_node, deep=True)
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
    else:
        try:
            loader.construct_object(node)
        except (ValueError, AttributeError):  # PyYAML's own, e.g. of 2026-02-30
            raise _bad(name, f"{node.value!r} is no {node.tag.rpartition(':')[2]}", here) from None
