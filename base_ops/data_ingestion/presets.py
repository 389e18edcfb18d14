"""Presets of the merger: what a kind of dataset usually wants. Whatever the spec says itself goes before."""

from __future__ import annotations

from typing import Any

_MARKET = ("exchange_primary", "exchange_secondary", "market_maker", "external")
"""Sources of prices, best first."""
_LATEST = {"rule": "last_write_wins"}

PRESETS: dict[str, dict[str, Any]] = {
    "equity_prices": {
        "key": ["symbol", "exchange", "timestamp"],
        "time": {"column": "timestamp", "tolerance_s": 1.0},
        "priority": list(_MARKET),
        "default": {"rule": "priority"},
        "checks": {"min_completeness": 0.9, "max_inconsistency": 0.0001},
    },
    "bond_data": {
        "key": ["isin", "date"],
        "priority": {"bloomberg": 100, "reuters": 80, "manual": 60},
        "default": {"rule": "priority"},
    },
    "fx_rates": {
        "key": ["pair", "timestamp"],
        "time": {"column": "timestamp", "window_s": 3600, "align": "center"},
        "numbers": "weighted_average",
        "priority": list(_MARKET),
        "default": {"rule": "priority"},
    },
    "contact_information": {
        "key": ["customer_id"],
        "priority": {"crm": 100, "transaction": 90, "external": 50},
        "default": {"rule": "priority"},
        "duplicates": {
            "fuzzy": [
                {"columns": [{"column": "name", "threshold": 0.9}, {"column": "email", "method": "exact"}]},
                {"columns": [{"column": "name", "threshold": 0.9}, {"column": "phone", "threshold": 0.95}]},
            ]
        },
    },
    "transaction_history": {
        "key": ["id", "timestamp"],
        "strategy": "append",
        "duplicates": {"exact": [{"columns": ["id", "timestamp"]}], "action": "delete"},
        "default": _LATEST,
    },
}


def with_preset(values: dict[str, Any]) -> dict[str, Any]:
    """A merger's spec as written, over its preset.

    Raises:
        ValueError: there is no such preset.
    """
    name = values.get("preset")
    if name is None:
        return values
    if name not in PRESETS:
        raise ValueError(f"preset {name!r} is not known; there are {', '.join(PRESETS)}")
    return {**PRESETS[name], **values}
