"""format_recognition: which of our formats the first bytes of an object are. See `recognize.py`."""
