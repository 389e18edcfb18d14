"""Formats: one place per format, found by walking this folder. A format module holds `FORMAT`."""
