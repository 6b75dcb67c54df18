"""Probes: is a container started, alive, ready?"""
