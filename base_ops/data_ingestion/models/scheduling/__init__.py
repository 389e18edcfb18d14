"""scheduling: the load of the next 7 days by quarter-hours, from the calendar and what was. See `forecast.py`."""
