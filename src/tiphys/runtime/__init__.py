"""Containers and images on one machine; the Runtime door."""
