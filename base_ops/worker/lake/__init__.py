"""The lake: landing → staging → tables, quarantine beside them, on any fsspec URL."""

from base_ops.worker.lake.store import Store
from base_ops.worker.lake.work import Lake, Work

__all__ = ["Lake", "Store", "Work"]
