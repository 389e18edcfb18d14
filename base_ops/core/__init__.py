"""What both sides share: ids, specs, the Request/Result protocol, errors, events, settings.

Imports the standard library, pydantic and PyYAML only, so that a DAG file stays cheap to parse.
"""
