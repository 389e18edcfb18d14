"""Text functions and patterns."""

from __future__ import annotations

import re

import polars as pl
from sqlglot import exp

from base_ops.worker.expressions.compiler import Compiler, Value, node_of
from base_ops.worker.literals import regex_problem


@node_of(exp.Length, args="this")
def _length(c: Compiler, node: exp.Length) -> Value:
    return c.make(c.text(node.this).str.len_chars().cast(pl.Int64))


@node_of(exp.Upper, exp.Lower, args="this")
def _case_of_text(c: Compiler, node: exp.Upper | exp.Lower) -> Value:
    text = c.text(node.this).str
    return c.make(text.to_uppercase() if isinstance(node, exp.Upper) else text.to_lowercase())


@node_of(exp.Trim, args="this position")
def _trim(c: Compiler, node: exp.Trim) -> Value:
    text = c.text(node.this).str
    side = str(node.args.get("position") or "BOTH").upper()
    strip = {"BOTH": text.strip_chars, "LEADING": text.strip_chars_start, "TRAILING": text.strip_chars_end}
    return c.make(strip[side](" "))


@node_of(exp.Substring, args="this start length")
def _substring(c: Compiler, node: exp.Substring) -> Value:
    start = c.constant(node.args["start"], int)
    size = c.constant(node.args["length"], int) if node.args.get("length") is not None else None
    if start < 1 or (size is not None and size < 0):
        raise c.refuse("takes a substring from before the text", node, expected="start from 1, length from 0")
    return c.make(c.text(node.this).str.slice(start - 1, size))


@node_of(exp.Left, exp.Right)
def _ends(c: Compiler, node: exp.Left | exp.Right) -> Value:
    size = c.constant(node.expression, int)
    if size < 0:
        raise c.refuse("takes fewer than no characters", node)
    text = c.text(node.this).str
    return c.make(text.head(size) if isinstance(node, exp.Left) else text.tail(size) if size else text.slice(0, 0))


@node_of(exp.DPipe, args="this expression safe")
def _concat(c: Compiler, node: exp.DPipe) -> Value:
    return c.make(c.text(node.this) + c.text(node.expression))


@node_of(exp.Like, exp.ILike, args="this expression negate")
def _like(c: Compiler, node: exp.Like | exp.ILike) -> Value:
    like = c.constant(node.expression, str)
    parts = {"%": ".*", "_": "."}
    body = "".join(parts.get(char, re.escape(char)) for char in like)
    flags = "(?si)" if isinstance(node, exp.ILike) else "(?s)"
    matches = c.text(node.this).str.contains(rf"{flags}\A{body}\z")
    return c.make(~matches if node.args.get("negate") else matches)


@node_of(exp.StartsWith, exp.EndsWith, exp.Contains)
def _has(c: Compiler, node: exp.StartsWith | exp.EndsWith | exp.Contains) -> Value:
    text, part = c.text(node.this).str, c.text(node.expression)
    if isinstance(node, exp.Contains):
        return c.make(text.contains(part, literal=True))
    return c.make(text.starts_with(part) if isinstance(node, exp.StartsWith) else text.ends_with(part))


@node_of(exp.RegexpLike, exp.RegexpFullMatch)
def _regexp(c: Compiler, node: exp.RegexpLike | exp.RegexpFullMatch) -> Value:
    pattern = c.constant(node.expression, str)
    if problem := regex_problem(pattern):
        raise c.refuse(f"holds a pattern that cannot be used: {problem}", node, code="bad_pattern")
    full = isinstance(node, exp.RegexpFullMatch)
    return c.make(c.text(node.this).str.contains(rf"\A(?:{pattern})\z" if full else pattern))
