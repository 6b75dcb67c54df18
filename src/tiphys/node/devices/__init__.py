"""Devices of plugins: registered, counted, given to containers."""
