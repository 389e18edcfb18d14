"""connection_optimization: pool, time-out, tries and batch for what is known of a peer. See `choose.py`."""
