"""One scan, one pass: chains of row-wise steps over batches of a reader."""
