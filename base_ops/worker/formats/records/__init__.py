"""What the JSON formats share: exact values, the types a set of records needs, and columns made of records."""
