"""What the connectors of databases share: windows behind a cursor, Parquet parts, and one module per SQL database."""
