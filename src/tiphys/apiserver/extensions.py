"""
Resources beyond the built-in ones: those that this server answers itself, and those that others answer for it.

The first are found, authorized, limited and shown as any other; a verb of their own answers instead of the registry's.
The others are only discovered here: the aggregator's page passes their requests on. Where an APIService gives a group
of ours to another server, that one has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tiphys.api import resources
from tiphys.api.resources import Resource
from tiphys.apiserver.aggregation.aggregator import Aggregator
from tiphys.apiserver.dispatch import Verb


@dataclass(frozen=True, slots=True)
class Extension:
    """`verbs` are by (group, resource, verb). A subresource without its parent is answered by a page."""

    resources: Sequence[Resource] = ()
    verbs: Mapping[tuple[str, str, str], Verb] = field(default_factory=dict)
    aggregator: Aggregator | None = None

    def find(self, group: str, version: str, name: str) -> Resource | None:
        """Built-in or of the extension."""
        found = resources.find(group, version, name)
        if found is not None or not self.resources or self._is_foreign(group, version):
            return found
        asked = (group, version, name)
        return next((one for one in self.resources if (one.group, one.version, one.name) == asked), None)

    def has_group(self, group: str) -> bool:
        return any(one.group == group for one in self.served())

    def served(self) -> tuple[Resource, ...]:
        """Everything that is served by this server, in discovery's order."""
        own = [one for one in self.resources if not self._is_foreign(one.group, one.version)]
        return (*resources.builtin(), *own)

    def _is_foreign(self, group: str, version: str) -> bool:
        return self.aggregator is not None and self.aggregator.foreign(group, version)


class Shown:
    """What discovery shows, by us and by others: the same tuple as long as it stays the same."""

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._shown = extension.served()
        if extension.aggregator is not None:
            extension.aggregator.listeners.append(self._renew)

    def __call__(self) -> tuple[Resource, ...]:
        return self._shown

    def _renew(self) -> None:
        assert self._extension.aggregator is not None
        self._shown = (*self._extension.served(), *self._extension.aggregator.resources())
