"""What the office formats share: checked packages, cells, columns and tables of sheets, bounded processes."""
