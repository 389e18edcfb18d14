"""`python -m base_ops.sample <home>`: the API in the background; see server.py."""

import sys
from pathlib import Path

from base_ops.sample.server import main

main(Path(sys.argv[1]))
