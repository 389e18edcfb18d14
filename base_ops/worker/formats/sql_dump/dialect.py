"""Whose SQL a dump is, by what its beginning says."""

from __future__ import annotations

import re

_MARKS = (  # a quote behind a backslash and before a letter ends no string: 'O\'Brien'
    ("mysql", r"-- (MySQL|MariaDB|phpMyAdmin)|/\*!\d{5}|ENGINE\s*=|INSERT INTO `|CREATE TABLE (IF NOT EXISTS )?`"
              r"|\bAUTO_INCREMENT\b|^(UN)?LOCK TABLES|(?<!\bE)'[^'\\]*+\\'\w"),
    ("postgresql", r"PostgreSQL database|\bFROM stdin;|pg_catalog|standard_conforming_strings|^\\restrict|\bpublic\."),
    ("sqlserver", r"^GO\s*$|\[dbo\]|SET IDENTITY_INSERT|SET ANSI_NULLS|INSERT \[|/\*+ Object:"),
    ("oracle", r"^REM INSERTING|SET DEFINE OFF|\bVARCHAR2\b|TO_(DATE|TIMESTAMP)\s*\("),
    ("sqlite", r"PRAGMA foreign_keys|^BEGIN TRANSACTION;|sqlite_sequence"),
)  # fmt: skip


def find_dialect(text: str) -> str:
    """mysql, postgresql, sqlserver, oracle, sqlite, or ansi where nothing tells."""
    best, most = "ansi", 0
    for dialect, pattern in _MARKS:
        count = len(re.findall(pattern, text, re.M | re.I))
        if count > most:
            best, most = dialect, count
    return best
