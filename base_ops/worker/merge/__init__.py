"""Merging: records of several sources that speak of the same thing become one, exactly and in bounded memory.

Files that are in order of key are read side by side, others are sorted by DuckDB; sorted by key, whole groups stream
through a vectorised kernel that decides every field, notes which source won and where values really differed; polars
writes what comes out. Sorted, so the bytes are the same on every run.

    prepare.py     names that mean the same, types, windows, shards: before the merge
    files.py       what the input files hold, and one type per column for all of them
    kinds.py       what fields say, and the rules that follow
    decisions.py   the spec's rules bound to these columns
    truth/         how far each source can be trusted, learned from agreement
    trusting.py    ... before the pass that decides by it
    arrival.py     which record is preferred, as one number
    candidates.py  the candidates of one file, in its own order
    rows.py        the candidates of all files as SQL, and the session it runs in
    streams.py     candidates in order of key: files merged as runs, or sorted
    moments.py     groups of rows near in time
    groups.py      segments of one key: winners and aggregates
    kernel.py      whole groups in, one row each out
    conflicts.py   the conflict log
    checks.py      what must hold of sources and result
    duplicates/    records that are the same thing under different keys
    resolve.py     ... among the merged rows
    engine.py      from the files to the merged file
"""

from base_ops.worker.merge.engine import Merged, merge
from base_ops.worker.merge.files import CONFLICTS, DUPLICATES, PART, SourceFile

__all__ = ["CONFLICTS", "DUPLICATES", "PART", "Merged", "SourceFile", "merge"]
