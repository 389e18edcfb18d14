"""source_detection: what kind of source a URL, a connection, headers or a sample are of. See `detect.py`."""
