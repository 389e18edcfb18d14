"""Registers the plugin of a checkout that is not installed; an installed package does so itself, by its entry point."""

from importlib.metadata import entry_points

if not entry_points(group="airflow.plugins", name="base_ops"):
    from base_ops.orchestration.plugin import BaseOpsPlugin as BaseOpsPlugin
