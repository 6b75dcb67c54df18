"""Garbage collection: objects whose owners are gone, or wait for them, or are to be set free."""
