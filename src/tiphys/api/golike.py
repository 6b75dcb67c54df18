"""How Go prints values: some of Kubernetes' messages quote them."""

from __future__ import annotations

from typing import Any


def printed(value: Any) -> str:
    """`map[a:1 b:[x y]]`: fmt's %v of a decoded JSON value."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{printed(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(printed(item) for item in value)}]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def json_name(value: Any) -> str:
    """How Go's decoder names the kind of a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def go_type(value: Any) -> str:
    """The Go type of a decoded JSON value, as %T prints it."""
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", int: "int64", float: "float64", list: "[]interface {}", dict: "map[string]interface {}"}
    return names.get(type(value), "<nil>")
