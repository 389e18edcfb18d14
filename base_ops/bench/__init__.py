"""`base-ops bench`: ours beside peers in one run, whole processes, medians of paired ratios."""
