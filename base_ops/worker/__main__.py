"""`python -m base_ops.worker --request <file | - | lake URI>`: one Request in, one Result out."""

import gc
import os

gc.disable()  # imports make many objects and no garbage: on again when all is imported
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # the search for them reads every package's metadata
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # others would start with numpy, and spin for want of work

from base_ops.worker.main import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
