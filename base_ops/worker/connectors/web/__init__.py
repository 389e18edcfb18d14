"""What all connectors over HTTP share: one careful client, its settings, bodies, packing and paging."""
