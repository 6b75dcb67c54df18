"""Generic ephemeral volumes: a claim for each, owned by its pod."""
