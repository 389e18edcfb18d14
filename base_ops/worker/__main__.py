"""`python -m base_ops.worker --request <file | - | lake URI>`: one Request in, one Result out."""

from base_ops.worker.main import main

if __name__ == "__main__":
    raise SystemExit(main())
