"""Merging: records of several sources that speak of the same thing become one, exactly and in bounded memory.

DuckDB reads and types the candidates; sorted by key, whole groups stream through a vectorised kernel that decides
every field, notes which source won and where values really differed; polars writes what comes out. Sorted, so the
bytes are the same on every run.

    files.py       what the input files hold, and one type per column for all of them
    decisions.py   the spec's rules bound to these columns
    arrival.py     which record is preferred, as one number
    rows.py        the candidates as SQL, and the session it runs in
    streams.py     candidates in order of key: files merged as runs, or sorted
    groups.py      segments of one key: winners and aggregates
    kernel.py      whole groups in, one row each out
    conflicts.py   the conflict log
    engine.py      from the files to the merged file
"""

from base_ops.worker.merge.engine import CONFLICTS, PART, Merged, merge
from base_ops.worker.merge.files import SourceFile

__all__ = ["CONFLICTS", "PART", "Merged", "SourceFile", "merge"]
