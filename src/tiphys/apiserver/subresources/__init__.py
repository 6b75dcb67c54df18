"""Subresources that are more than an object seen through the generic verbs."""
