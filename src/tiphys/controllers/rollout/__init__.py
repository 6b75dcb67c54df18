"""Rollouts: what happens to one that fails, as `tiphys.io/on-failure` says."""
