"""Revisions, watch and compaction: bytes in, bytes out; the Store door."""
