"""Merging: records of several sources that speak of the same thing become one, exactly and in bounded memory.

DuckDB joins all candidates and sorts them by key (spilling to disk where memory ends); whole groups of one key
then stream through a vectorised kernel that decides every field, notes which source won and where values
really differed, and polars writes what comes out. Sorted first, so the bytes are the same on every run.

    files.py       what the input files hold, and one type per column for all of them
    decisions.py   the spec's rules bound to these columns
    expression.py  the small language of rule=expression
    groups.py      segments of one key: winners and aggregates
    conflicts.py   the conflict log
    engine.py      the stream from the files to the merged file
"""

from base_ops.worker.merge.engine import CONFLICTS, PART, Merged, merge
from base_ops.worker.merge.files import SourceFile

__all__ = ["CONFLICTS", "PART", "Merged", "SourceFile", "merge"]
