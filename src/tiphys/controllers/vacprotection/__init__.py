"""A VolumeAttributesClass that claims or volumes name is not removed under them."""
