"""
Resources beyond the built-in ones that this server answers itself: who reads them cannot tell the difference.

They are found, authorized, limited and shown as any other; a verb of their own answers instead of the registry's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tiphys.api import resources
from tiphys.api.resources import Resource
from tiphys.apiserver.dispatch import Verb


@dataclass(frozen=True, slots=True)
class Extension:
    """`verbs` are by (group, resource, verb). A subresource without its parent is answered by a page."""

    resources: Sequence[Resource] = ()
    verbs: Mapping[tuple[str, str, str], Verb] = field(default_factory=dict)

    def find(self, group: str, version: str, name: str) -> Resource | None:
        """Built-in or of the extension."""
        found = resources.find(group, version, name)
        if found is not None or not self.resources:
            return found
        asked = (group, version, name)
        return next((one for one in self.resources if (one.group, one.version, one.name) == asked), None)

    def has_group(self, group: str) -> bool:
        return any(one.group == group for one in (*resources.builtin(), *self.resources))

    def served(self) -> Sequence[Resource]:
        """Everything, in discovery's order."""
        return (*resources.builtin(), *self.resources)
