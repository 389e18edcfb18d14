"""Great Expectations suites as rules: the JSON is read, the library is not needed.

Suites of GE 1.x (`type`) and of 0.18 (`expectation_type`) are understood. The verdict on each value is the one of
GE's pandas engine, with these decisions:

- An expectation judges a column; a rule judges records. With `mostly` left out, broken records go to quarantine.
  With `mostly` below 1 the author tolerates them: they are flagged and passed on, and the input is refused when more
  than 1 - mostly of the values decided on are broken (nulls do not count, as in GE).
- A regular expression is searched for anywhere in the text, as GE does; its syntax is Rust's, `$` is the very end.
- GE counts every record of a group of doubles, so `unique` rules keep none.
- Severity critical, warning, info becomes critical, medium, low.
- What is not covered is an error that lists it: an expectation is never left out in silence, nor is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

from pydantic import ValidationError

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.core.protocol import Finding
from base_ops.data_quality.specs.validator import (
    EnumRule,
    ExpressionRule,
    LengthRule,
    PatternRule,
    PresenceRule,
    RangeRule,
    Rule,
    TypeRule,
    UniqueRule,
)

_SEVERITIES = {"critical": "critical", "warning": "medium", "info": "low"}
_NEUTRAL = {
    "mostly",
    "batch_id",
    "result_format",
    "catch_exceptions",
    "include_config",
    "condition_parser",
    "meta",
    "windows",
}
"""Arguments that do not change the verdict on a value (mostly is handled for all alike)."""
_TYPES = {
    "int64": "int int_ int64 long bigint integer longtype integertype",
    "int32": "int32",
    "float64": "float float_ float64 double doubletype floattype real double_precision",
    "string": "str string string_types stringtype varchar text str_",
    "boolean": "bool bool_ boolean booleantype",
    "date": "date datetype",
    "timestamp": "datetime datetime64 datetime64[ns] datetime64[us] timestamp timestamptype timestamp_ntz",
    "timestamp_utc": "datetime64[ns,utc] datetime64[us,utc] timestamptz timestamp_tz datetimetzdtype",
}
_TYPE_OF = {alias: name for name, aliases in _TYPES.items() for alias in aliases.split()}


def rules_of_suite(suite: Mapping[str, Any]) -> tuple[tuple[Rule, ...], list[Finding]]:
    """The rules a suite stands for, without ids, and what a person should know about them.

    Raises:
        ConfigError: the suite is malformed, or holds expectations or arguments that are not covered (all are listed).
    """
    entries = suite.get("expectations")
    if not isinstance(entries, list):
        raise ConfigError(
            "The suite has no list of expectations",
            code="bad_suite",
            where="suite.expectations",
            expected="GE 1.x or 0.18 JSON",
        )
    named = [(_kind(entry), entry) for entry in entries]
    unknown = sorted({kind for kind, _ in named if kind not in _EXPECTATIONS})
    if unknown:
        raise ConfigError(
            f"The suite holds expectations that are not covered: {', '.join(unknown)}",
            code="unknown_expectation",
            where="suite.expectations",
            expected=f"any of: {', '.join(sorted(_EXPECTATIONS))}",
            todo="take them out of the suite, or say them as rules (an expression, for instance)",
        )
    rules: list[Rule] = []
    findings: list[Finding] = []
    for number, (kind, entry) in enumerate(named):
        rule = _rule(kind, entry, f"suite.expectations[{number}] ({kind})")
        rules.append(rule)
        if rule.on_failure == "flag":
            share = f"{rule.max_failure_share:.4g}" if rule.max_failure_share is not None else "1"
            findings.append(
                Finding(
                    code="tolerated_failures",
                    message=f"{kind} tolerates a share of {share}: broken records are flagged and passed on",
                    data={"expectation": kind, "column": str(entry["kwargs"].get("column", "")), "share": share},
                )
            )
    return tuple(rules), findings


def _kind(entry: Any) -> str:
    kind = entry.get("type") or entry.get("expectation_type") if isinstance(entry, Mapping) else None
    if not isinstance(kind, str) or not isinstance(entry.get("kwargs", {}), Mapping):
        raise ConfigError("An expectation has no type or no kwargs", code="bad_suite", where="suite.expectations")
    return kind


def _rule(kind: str, entry: Mapping[str, Any], where: str) -> Rule:
    arguments = {k: v for k, v in dict(entry.get("kwargs") or {}).items() if v is not None}
    translate, known = _EXPECTATIONS[kind]
    common = _tolerance(arguments.get("mostly", 1), where)
    severity = entry.get("severity")
    if severity is not None:
        if severity not in _SEVERITIES:
            raise ConfigError(
                f"The severity {severity!r} is not known. {did_you_mean(str(severity), _SEVERITIES)}",
                code="bad_suite",
                where=where,
            )
        common["severity"] = _SEVERITIES[severity]
    for name, value in arguments.items():
        if name in _NEUTRAL:
            continue
        if name not in known:
            raise ConfigError(
                f"The argument {name!r} is not covered. {did_you_mean(name, known)}",
                code="unknown_argument",
                where=where,
            )
        if isinstance(value, Mapping):
            raise ConfigError(
                f"The argument {name!r} is a parameter", code="unknown_argument", where=where, expected="its value"
            )
    try:
        return translate(arguments, common)
    except KeyError as error:
        raise ConfigError(f"The argument {error.args[0]!r} is missing", code="bad_suite", where=where) from None
    except (ValidationError, TypeError, ValueError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ConfigError(f"The expectation makes no rule: {reason}", code="bad_suite", where=where) from None


def _tolerance(mostly: Any, where: str) -> dict[str, Any]:
    if isinstance(mostly, bool) or not isinstance(mostly, (int, float)) or not 0 <= mostly <= 1:
        raise ConfigError(
            f"mostly={mostly!r} cannot be used", code="bad_suite", where=where, expected="a number from 0 to 1"
        )
    if mostly == 1:
        return {}
    return {"on_failure": "flag", "max_failure_share": round(1 - mostly, 12) if mostly > 0 else None}


# -- the table of expectations

_Translate = Callable[[dict[str, Any], dict[str, Any]], Rule]
_EXPECTATIONS: dict[str, tuple[_Translate, frozenset[str]]] = {}


def _expectation(kind: str, arguments: str) -> Callable[[_Translate], _Translate]:
    def register(translate: _Translate) -> _Translate:
        _EXPECTATIONS[kind] = (translate, frozenset(arguments.split()))
        return translate

    return register


@_expectation("expect_column_values_to_not_be_null", "column")
def _not_null(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    return PresenceRule(column=a["column"], empty_is_missing=False, **common)


@_expectation("expect_column_values_to_be_null", "column")
def _null(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    return ExpressionRule(id=f"null_{a['column']}", expression=f"{_name(a['column'])} is null", **common)


@_expectation("expect_column_to_exist", "column")
def _exists(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    column = _name(a["column"])
    return ExpressionRule(id=f"exists_{a['column']}", expression=f"{column} is null or {column} is not null", **common)


@_expectation("expect_column_values_to_be_between", "column min_value max_value strict_min strict_max")
def _between(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    low, high = a.get("min_value"), a.get("max_value")
    strict = (bool(a.get("strict_min")) and low is not None, bool(a.get("strict_max")) and high is not None)
    if low is None or high is None or strict[0] == strict[1]:
        return RangeRule(column=a["column"], min=low, max=high, exclusive=any(strict), **common)
    column, signs = _name(a["column"]), (">" if strict[0] else ">=", "<" if strict[1] else "<=")
    text = f"{column} {signs[0]} {_sql(low)} and {column} {signs[1]} {_sql(high)}"
    return ExpressionRule(id=f"range_{a['column']}", expression=text, **common)


@_expectation("expect_column_values_to_be_in_set", "column value_set")
def _in_set(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    return EnumRule(column=a["column"], values=tuple(v for v in a["value_set"] if v is not None), **common)


@_expectation("expect_column_values_to_not_be_in_set", "column value_set")
def _not_in_set(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    listed = ", ".join(_sql(v) for v in a["value_set"] if v is not None)
    return ExpressionRule(id=f"not_in_{a['column']}", expression=f"{_name(a['column'])} not in ({listed})", **common)


@_expectation("expect_column_values_to_match_regex", "column regex")
def _regex(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    return PatternRule(column=a["column"], pattern=a["regex"], match="search", **common)


@_expectation("expect_column_values_to_not_match_regex", "column regex")
def _not_regex(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    text = f"not regexp_matches({_name(a['column'])}, {_sql(a['regex'])})"
    return ExpressionRule(id=f"not_pattern_{a['column']}", expression=text, **common)


@_expectation("expect_column_value_lengths_to_be_between", "column min_value max_value strict_min strict_max")
def _lengths(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    low, high = (None if v is None else _whole(v) for v in (a.get("min_value"), a.get("max_value")))
    low = low + 1 if low is not None and a.get("strict_min") else low
    high = high - 1 if high is not None and a.get("strict_max") else high
    return LengthRule(column=a["column"], min=low, max=high, **common)


@_expectation("expect_column_value_lengths_to_equal", "column value")
def _length(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    return LengthRule(column=a["column"], min=_whole(a["value"]), max=_whole(a["value"]), **common)


@_expectation("expect_column_values_to_be_of_type", "column type_")
def _of_type(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    return TypeRule(column=a["column"], type=_one_type([a["type_"]]), **common)


@_expectation("expect_column_values_to_be_in_type_list", "column type_list")
def _in_types(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    return TypeRule(column=a["column"], type=_one_type(a["type_list"]), **common)


@_expectation("expect_column_values_to_be_unique", "column")
def _unique(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    return UniqueRule(columns=(a["column"],), keep="none", **common)


@_expectation("expect_compound_columns_to_be_unique", "column_list ignore_row_if")
def _compound(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    if a.get("ignore_row_if", "all_values_are_missing") != "all_values_are_missing":
        raise ValueError("ignore_row_if is only covered as all_values_are_missing")
    return UniqueRule(columns=tuple(a["column_list"]), keep="none", **common)


@_expectation("expect_select_column_values_to_be_unique_within_record", "column_list ignore_row_if")
def _within_record(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    names = [_name(c) for c in a["column_list"]]
    differ = " and ".join(f"{x} is distinct from {y}" for x, y in combinations(names, 2))
    text = _unless(a.get("ignore_row_if", "all_values_are_missing"), names, differ)
    return ExpressionRule(id="_".join(("distinct", *a["column_list"])), expression=text, **common)


@_expectation("expect_column_pair_values_a_to_be_greater_than_b", "column_A column_B or_equal ignore_row_if")
def _greater(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    return _pair(a, ">=" if a.get("or_equal") else ">", "greater", common)


@_expectation("expect_column_pair_values_to_be_equal", "column_A column_B ignore_row_if")
def _equal(a: dict[str, Any], common: dict[str, Any]) -> Rule:
    return _pair(a, "=", "equal", common)


def _pair(a: dict[str, Any], sign: str, word: str, common: dict[str, Any]) -> Rule:
    """A pair with a null is broken, as in GE, unless the row is to be ignored."""
    names = [_name(a["column_A"]), _name(a["column_B"])]
    holds = f"coalesce({names[0]} {sign} {names[1]}, false)"
    text = _unless(a.get("ignore_row_if", "both_values_are_missing"), names, holds)
    return ExpressionRule(id=f"{word}_{a['column_A']}_{a['column_B']}", expression=text, **common)


def _unless(when: str, names: list[str], condition: str) -> str:
    """The condition, undecided (null) on rows that are to be ignored."""
    nulls = [f"{n} is null" for n in names]
    if when in ("all_values_are_missing", "both_values_are_missing"):
        return f"case when {' and '.join(nulls)} then null else {condition} end"
    if when in ("any_value_is_missing", "either_value_is_missing"):
        return f"case when {' or '.join(nulls)} then null else {condition} end"
    if when in ("never", "neither"):
        return condition
    raise ValueError(f"ignore_row_if={when!r} is not known")


def _name(column: Any) -> str:
    if not isinstance(column, str):
        raise TypeError("a column is named by text")
    return '"' + column.replace('"', '""') + '"'


def _sql(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def _whole(value: Any) -> int:
    if value != int(value):
        raise ValueError(f"a length is a whole number, not {value!r}")
    return int(value)


def _one_type(names: list[str]) -> str:
    unknown = [n for n in names if n.lower().replace(" ", "") not in _TYPE_OF]
    if unknown:
        raise ValueError(f"the type {unknown[0]!r} is not covered. {did_you_mean(unknown[0].lower(), _TYPE_OF)}")
    found = {_TYPE_OF[n.lower().replace(" ", "")] for n in names}
    if found == {"int32", "int64"}:
        return "int64"
    if len(found) != 1:
        raise ValueError(f"one type is needed, not {', '.join(sorted(found)) or 'none'}")
    return found.pop()
