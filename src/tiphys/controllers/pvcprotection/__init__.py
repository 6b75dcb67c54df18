"""A claim that pods use is not removed under them."""
