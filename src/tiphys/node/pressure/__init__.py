"""What the machine runs out of, and who gives way."""
