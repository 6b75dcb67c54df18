"""What a write may not change: pieces of which strategies are made."""

from __future__ import annotations

from tiphys.api.strategy.strategies import Object

# What an update compares no further to see whether the spec changed: for kinds without a spec all the rest is one.
_NOT_SPEC = frozenset(("kind", "apiVersion", "metadata", "status"))
# Metadata that a write of the status may change where a kind guards all other.
_WITH_STATUS = ("managedFields", "resourceVersion", "uid", "name", "namespace", "generation", "creationTimestamp")


def keep(new: Object, old: Object, *names: str) -> None:
    """The new object's fields of those names are the old object's."""
    for name in names:
        if name in old:
            new[name] = old[name]
        else:
            new.pop(name, None)


def keep_all_but_status(new: Object, old: Object) -> None:
    """A write of the status changes the status, and metadata."""
    keep(new, old, *((new.keys() | old.keys()) - _NOT_SPEC))


def keep_metadata(new: Object, old: Object) -> None:
    """Labels, annotations, finalizers and owners are not changed with the status."""
    metadata, before = new["metadata"], old["metadata"]
    keep(metadata, before, *((metadata.keys() | before.keys()) - set(_WITH_STATUS)))


def keep_all_but_status_proper(new: Object, old: Object) -> None:
    """A write of the status changes the status alone."""
    keep_all_but_status(new, old)
    keep_metadata(new, old)


def spec_changed(new: Object, old: Object) -> bool:
    """Whether anything but metadata and status differs."""
    return any(new.get(name) != old.get(name) for name in (new.keys() | old.keys()) - _NOT_SPEC)


def bump(new: Object, old: Object) -> None:
    """The next generation."""
    new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
