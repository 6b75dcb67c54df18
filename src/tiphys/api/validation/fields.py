"""
One thing that is wrong with one field, worded as Kubernetes words it.

The functions are the kinds of errors that there are (FieldValueInvalid and so on); `detail` is the rule's own text. A
path is a plain string that the caller builds: `spec.containers[0].name`, `metadata.labels[app]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class FieldError:
    """`text` is what follows the field's path in the message; `reason` is the cause's."""

    field: str
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"

    @property
    def cause(self) -> dict[str, str]:
        """The entry of `details.causes` in a Status."""
        return {"reason": self.reason, "message": self.text, "field": self.field}


def shown(value: Any) -> str:
    """A value as a field error shows it: strings quoted, null bare, structures as compact JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return orjson.dumps(value).decode()


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(field, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}")


def not_supported(field: str, value: Any, allowed: Sequence[str], *, is_set: bool = True) -> FieldError:
    """`allowed` is listed in sorted order where Kubernetes has it as a set, else in its own."""
    listed = ", ".join(shown(each) for each in (sorted(allowed) if is_set else allowed))
    text = f"Unsupported value: {shown(value)}"
    return FieldError(field, "FieldValueNotSupported", f"{text}: supported values: {listed}" if allowed else text)


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")


def not_found(field: str, value: Any, detail: str = "") -> FieldError:
    return FieldError(field, "FieldValueNotFound", f"Not found: {shown(value)}" + (f": {detail}" if detail else ""))


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {detail}")


def too_long(field: str, maximum: int) -> FieldError:
    unit = "byte" if maximum == 1 else "bytes"
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {maximum} {unit}")


def too_many(field: str, actual: int, maximum: int) -> FieldError:
    unit = "item" if maximum == 1 else "items"
    text = f"Too many: {actual}: must have at most {maximum} {unit}"
    return FieldError(field, "FieldValueTooMany", text)
