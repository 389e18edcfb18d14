"""The sample market: two vendors of end-of-day quotes, one API and one drop folder, with known faults.

    from base_ops import sample
    sample.start(home)      # files under home/sample/drop, the API on 127.0.0.1, connections in home/connections
    sample.correct(home)    # later, both vendors send corrections
    sample.stop(home)

Standard library only.
"""

from base_ops.sample.control import SampleServer, correct, start, stop
from base_ops.sample.market import CONFLICTS, PLANTED, Planted

__all__ = ["CONFLICTS", "PLANTED", "Planted", "SampleServer", "correct", "start", "stop"]
