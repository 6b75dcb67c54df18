"""What the workloads share: a selector and a pod template that match, numbers of replicas, rolling updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import selectors
from tiphys.api.validation.fields import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.validation.pod_spec import template_errors
from tiphys.api.validation.values import (
    IMMUTABLE,
    above_hundred_errors,
    count_of,
    percent_or_count_errors,
    selector_errors,
    shown_selector,
)

Object = Mapping[str, Any]

MISMATCH = "`selector` does not match template `labels`"


def is_selected(spec: Object) -> bool:
    """Whether the selector selects the template's labels; none selects nothing, an empty one everything."""
    labels = template_labels(spec) or {}
    return selectors.from_label_selector(spec.get("selector")).matches(labels)


def template_labels(spec: Object) -> dict[str, str] | None:
    labels: dict[str, str] | None = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    return labels


def mismatch_errors(spec: Object) -> list[FieldError]:
    """A template whose pods the selector would not find."""
    if is_selected(spec):
        return []
    labels = template_labels(spec)
    return [invalid("spec.template.metadata.labels", dict(sorted(labels.items())) if labels else None, MISMATCH)]


def selected_template_errors(spec: Object, kind: str, empty_kind: str, bad_selector: str) -> list[FieldError]:
    """
    The selector, which must be there, and the template of pods that live until they are deleted.

    `kind` is told to who sets a deadline, `empty_kind` to who selects everything, `bad_selector` to who cannot select.
    """
    selector = spec.get("selector")
    errors = [required("spec.selector")] if selector is None else selector_errors(selector, "spec.selector")
    is_valid = not errors or selector is None
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(invalid("spec.selector", {}, f"empty selector is invalid for {empty_kind}"))
    if not is_valid:
        return [*errors, invalid("spec.selector", shown_selector(selector), bad_selector)]
    return errors + mismatch_errors(spec) + living_template_errors(spec, kind)


def living_template_errors(spec: Object, kind: str) -> list[FieldError]:
    """A template of pods that restart for ever."""
    template = spec.get("template") or {}
    errors = template_errors(template, "spec.template")
    pod = template.get("spec") or {}
    if pod.get("restartPolicy") != "Always":
        errors.append(not_supported("spec.template.spec.restartPolicy", pod.get("restartPolicy", ""), ("Always",)))
    if "activeDeadlineSeconds" in pod:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(forbidden("spec.template.spec.activeDeadlineSeconds", text))
    return errors


def immutable_errors(new: Object, old: Object, *fields: str, path: str = "spec.") -> list[FieldError]:
    """Fields that stay as they were created."""
    return [
        invalid(path + name, shown_selector(new.get(name)) if name == "selector" else new.get(name), IMMUTABLE)
        for name in fields
        if new.get(name) != old.get(name)
    ]


def rolling_errors(rolling: Object, path: str) -> tuple[list[FieldError], bool, bool]:
    """Errors of `maxUnavailable` and `maxSurge`, and whether each is more than nothing."""
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    errors = percent_or_count_errors(unavailable, f"{path}.maxUnavailable")
    errors += percent_or_count_errors(surge, f"{path}.maxSurge")
    return errors, count_of(unavailable) != 0, count_of(surge) != 0


def unavailable_errors(rolling: Object, path: str) -> list[FieldError]:
    return above_hundred_errors(rolling.get("maxUnavailable", 0), f"{path}.maxUnavailable")


def more_errors(status: Object, most: str, fields: tuple[str, ...], text: str = "") -> list[FieldError]:
    """Counts that are more than the count they are a part of."""
    limit = status.get(most) or 0
    detail = f"cannot be greater than {text or f'status.{most}'}"
    return [
        invalid(f"status.{name}", status.get(name) or 0, detail) for name in fields if (status.get(name) or 0) > limit
    ]
