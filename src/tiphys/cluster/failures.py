"""Why a cluster cannot run: errors whose text is for the person at the terminal and says what to do."""

from __future__ import annotations


class CannotServe(Exception):
    """The server cannot start; one line says why and what to do instead."""
