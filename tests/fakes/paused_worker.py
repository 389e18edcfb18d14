"""The real worker, which waits at a failpoint: $PAUSE_AT, until the file `go` is in $PAUSE_DIR."""

from __future__ import annotations

import os
import time
from pathlib import Path

from base_ops.worker import failpoints

FOLDER = Path(os.environ["PAUSE_DIR"])


def pause(name: str) -> None:
    if name == os.environ["PAUSE_AT"] and not (FOLDER / "go").exists():
        (FOLDER / "reached").touch()
        while not (FOLDER / "go").exists():
            time.sleep(0.02)


failpoints.failpoint = pause

if __name__ == "__main__":
    from base_ops.worker.main import main

    raise SystemExit(main())
