"""What the API server itself drops, resets and bumps when an object is created or changed."""

from tiphys.api.strategy.table import prepare_create, prepare_update, warnings_of

__all__ = ["prepare_create", "prepare_update", "warnings_of"]
