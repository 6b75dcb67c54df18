"""The claims, measured: one folder each, `scripts/bench [CLAIM…]` runs them."""
