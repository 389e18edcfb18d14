"""What a document holds, from its beginning: which elements are records, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

from base_ops.core.errors import BadInput
from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.xml.handlers import DTD_RULES, Learner
from base_ops.worker.formats.xml.names import Names, Node

_STEP_BYTES = 1 << 16
_ENOUGH_BYTES = 1 << 19
_LONGEST_BYTES = 1 << 20
_MOST_BYTES = 64 << 20
_INNER_SHARE = 0.8
_INNER_EACH = 3
"""A repeated element that makes up this share of another repeated one, this often in each, is the record instead."""


def survey(chunks: Iterator[bytes], names: Names, name: str) -> str | None:
    """Mark the record element, and return the text of a fault element where the dialect has one and it is there.

    Raises:
        BadInput: not_this_format, xml_entities, xml_dtd, too_deep, too_long, too_many_names, records_not_found,
            empty_object.
    """
    learner = Learner(names)
    is_whole = _listen(chunks, learner, name)
    if not names.root.order:
        raise BadInput(f"{name} is not XML", code="not_this_format", where=f"{name}, line 1", expected="an element")
    found = names.records()
    start = _within(names)
    if not found and not names.wanted and (node := _choose(start)) is not None:
        names.mark(node, node.parent)
        names.is_sure = node.seen.most > 1
    elif not found and is_whole:
        _refuse_missing(names, name)
    names.forget()  # what the records are made of is learned from those that can be read
    return learner.fault_text


def _listen(chunks: Iterator[bytes], learner: Learner, name: str) -> bool:
    """Parse until enough was seen; whether all was."""
    parser = expat.ParserCreate("utf-8", "}")
    parser.buffer_text = parser.namespace_prefixes = True
    learner.attach(parser)
    seen = 0
    try:
        for chunk in chunks:
            for start in range(0, len(chunk), _STEP_BYTES):
                part = chunk[start : start + _STEP_BYTES]
                parser.Parse(part, False)
                seen += len(part)
                if seen - parser.CurrentByteIndex > _LONGEST_BYTES:  # expat would read such a tag again and again
                    raise Refused("too_long", f"a tag or comment of more than {_LONGEST_BYTES} bytes")
                if seen >= _MOST_BYTES or (seen >= _ENOUGH_BYTES and _has_repeated(learner.names)):
                    return False
    except Refused as refused:
        if refused.rule not in DTD_RULES and (_has_repeated(learner.names) or refused.rule == "undefined_entity"):
            return False  # the reading proper refuses what must be, and where
        raise BadInput(f"{name}: {refused.reason}", code=refused.rule, where=f"{name}, near its beginning") from None
    except expat.ExpatError as error:
        if not learner.names.root.order:
            found = expat.errors.messages[error.code]
            raise BadInput(f"{name} is not XML", code="not_this_format", where=name, found=found) from None
        return False
    return True


def _has_repeated(names: Names) -> bool:
    return bool(names.records()) or any(node.seen.most > 1 and _is_structured(node) for node in names.root.below())


def _within(names: Names) -> Node:
    node = names.root
    for step in names.dialect.within:
        node = next((child for child in node.order if child.local == step), node)
    return node


def _is_structured(node: Node) -> bool:
    return bool(node.order or node.attributes)


def _choose(start: Node) -> Node | None:
    """The record element below `start`: the heaviest of its repeated elements, from the outside in."""
    weights: dict[int, int] = {}
    _weigh(start, weights)

    def heaviest(nodes: list[Node]) -> Node | None:
        return max(nodes, key=lambda node: weights[id(node)], default=None)

    node = start
    while True:
        repeated = heaviest([child for child in node.order if child.seen.most > 1 and _is_structured(child)])
        inside = heaviest([child for child in node.order if _repeats_below(child)])
        if repeated is not None and (inside is None or weights[id(repeated)] >= weights[id(inside)]):
            return _inner(repeated, weights)
        if inside is not None:
            node = inside
        elif len(node.order) == 1 and not node.seen.has_text:
            only = node.order[0]
            if not _is_structured(only) and only.seen.most < 2 and node is not start:
                return node
            if not only.order:
                return only if _is_structured(only) or only.seen.has_text or only.seen.most > 1 else None
            node = only
        else:
            return node if node is not start else None


def _inner(record: Node, weights: dict[int, int]) -> Node:
    """A wrapper that repeats holds little but its records."""
    node = record
    while node.order:
        node = max(node.order, key=lambda child: weights[id(child)])
        if weights[id(node)] < _INNER_SHARE * weights[id(record)]:
            return record
        if node.seen.most > 1 and _is_structured(node) and node.seen.count >= _INNER_EACH * record.seen.count:
            return _inner(node, weights)
    return record


def _repeats_below(node: Node) -> bool:
    return any((child.seen.most > 1 and _is_structured(child)) or _repeats_below(child) for child in node.order)


def _weigh(node: Node, weights: dict[int, int]) -> int:
    weight = node.seen.count * (1 + len(node.attributes)) + sum(_weigh(child, weights) for child in node.order)
    weights[id(node)] = weight
    return weight


def _refuse_missing(names: Names, name: str) -> None:
    paths = ["/".join(node.path) for node in names.root.below() if node.order]
    if names.wanted:
        raise BadInput(
            f"{name} holds no element {'/'.join(names.wanted)}",
            code="records_not_found",
            where="spec.read.xml.record",
            found=", ".join(paths[:20]),
            todo="name the element that is a record, or its path from the root, by local names joined by /",
        )
    raise BadInput(f"{name} holds no record", code="empty_object", where=name, found=", ".join(paths[:20]))
