"""Specs of data_ingestion: what can be asked of each agent, a file each."""
