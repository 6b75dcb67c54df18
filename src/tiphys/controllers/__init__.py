"""One folder per kind: a pure plan and a thin controller."""
