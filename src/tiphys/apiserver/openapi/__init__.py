"""OpenAPI v2 and v3 of what is served, for kubectl explain, diff, apply and for client generators."""

from tiphys.apiserver.openapi.page import OpenApi

__all__ = ["OpenApi"]
