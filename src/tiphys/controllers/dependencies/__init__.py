"""Dependencies: pods that were told to wait for others begin when those are there."""
