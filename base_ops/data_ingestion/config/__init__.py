"""The configuration of data_ingestion in git: its sources, and what is checked of all its files."""
