"""Specs of data_storage: what can be asked of each agent, a file each."""
