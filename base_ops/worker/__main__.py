"""`python -m base_ops.worker --request <file | - | lake URI>`: one Request in, one Result out."""

import os

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # the search for them reads every package's metadata

from base_ops.worker.main import main

if __name__ == "__main__":
    raise SystemExit(main())
