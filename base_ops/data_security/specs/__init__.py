"""Specs of data_security: what can be asked of each agent, a file each."""
