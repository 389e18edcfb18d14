"""Models of data_ingestion, a folder each."""
