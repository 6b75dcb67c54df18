"""A volume that a claim is bound to is not removed under it."""
