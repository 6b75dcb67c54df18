"""Typed requests, reflector, informer cache, events: how every part speaks to the API."""
