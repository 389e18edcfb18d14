"""Calendars: when exchanges (and whoever else keeps hours) are open, as data files that anyone can read and correct.

    calendar.py     a calendar and its sessions, from a data file              (light: standard library only)
    recurrence.py   the moments of a schedule, forwards and backwards          (light)
    build.py        writes the data files from exchange_calendars and proves them equal   (heavy, for developers)
    data/           one file per calendar, named by its MIC: weekly hours, closed days, special sessions, validity

A deployment's own calendars, or corrected ones, lie in <config>/data_ingestion/calendars/ and go before these.
"""
