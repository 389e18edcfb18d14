"""`python -m base_ops.sample <home>`: the API in the background; with `--listen` in the foreground; see server.py."""

import argparse
from pathlib import Path

from base_ops.sample.server import listen, main

parser = argparse.ArgumentParser(prog="python -m base_ops.sample")
parser.add_argument("home", type=Path, nargs="?", help="folder of the sample's files and connections")
parser.add_argument("--listen", metavar="HOST:PORT", help="serve here, in the foreground")
parser.add_argument(
    "--connection", type=Path, action="append", help="file of a connection, for its token or login (with --listen)"
)
arguments = parser.parse_args()
if (arguments.home is None) == (arguments.listen is None) or (arguments.listen is None) != (
    arguments.connection is None
):
    parser.error("give either a home, or --listen and --connection")
if arguments.home is None:
    listen(arguments.listen, arguments.connection)
else:
    main(arguments.home)
