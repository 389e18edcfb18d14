"""Where sources are, one block per protocol: `sql:`, `kafka:`, … in a source's YAML. One file per family."""
