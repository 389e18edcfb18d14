"""The sample market: two vendors of end-of-day quotes, one API and one drop folder, with known faults.

    from base_ops import sample
    sample.start(home)      # files under home/sample/drop, the API on 127.0.0.1, connections in home/connections
    sample.correct(home)    # later, both vendors send corrections
    sample.stop(home)

Beside the vendors' good day there is a bad one (faults.py), a stream (ticks.py) and a folder for bulk loads with a late
file. Standard library only, but for TLS and signed tokens.
"""

from base_ops.sample.control import SampleServer, correct, start, stop
from base_ops.sample.market import CONFLICTS, PLANTED, Planted

__all__ = ["CONFLICTS", "PLANTED", "Planted", "SampleServer", "correct", "start", "stop"]
