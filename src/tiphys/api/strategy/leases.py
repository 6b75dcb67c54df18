"""What a Lease loses: coordinated election is not served."""

from __future__ import annotations

from tiphys.api.strategy.strategies import Object, Strategy


def drop_coordination(new: Object, old: Object | None = None) -> None:
    """Unless the stored Lease has them, the fields of coordinated election go."""
    before = (old or {}).get("spec") or {}
    for name in ("strategy", "preferredHolder"):
        if name not in before:
            (new.get("spec") or {}).pop(name, None)


STRATEGIES = {
    ("coordination.k8s.io", "leases"): Strategy(
        create=drop_coordination, update=drop_coordination, generation=False, has_status=False
    )
}
