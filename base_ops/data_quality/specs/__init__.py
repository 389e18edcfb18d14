"""Specs of data_quality: what can be asked of each agent, a file each."""
