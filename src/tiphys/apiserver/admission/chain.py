"""
The plugins that every write goes through, in Kubernetes' order.

Most plugins concern a few kinds. Which ones concern a kind is found once for each operation and resource, so that a
write pays only for the plugins that have something to say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tiphys.api import errors
from tiphys.api.errors import StatusError
from tiphys.apiserver.call import Attributes

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"

# Changes `attributes.object` or raises StatusError; an awaitable is waited for.
Step = Callable[[Attributes], Awaitable[None] | None]
# (operation, group, resource or resource/subresource) → whether the plugin has something to say.
Concerns = Callable[[str, str, str], bool]


@dataclass(frozen=True, slots=True)
class Plugin:
    """One rule of admission. `mutate` runs before validation, `validate` after it."""

    name: str
    concerns: Concerns
    mutate: Step | None = None
    validate: Step | None = None


def on(operations: Sequence[str], *resources: tuple[str, str]) -> Concerns:
    """Concerns for some operations on some (group, resource)."""
    named, wanted = frozenset(operations), frozenset(resources)
    return lambda operation, group, resource: operation in named and (group, resource) in wanted


class AdmissionChain:
    """The Admission door. `fresh` waits until the cache that plugins read shows every acknowledged write."""

    def __init__(self, plugins: Sequence[Plugin], fresh: Callable[[], Awaitable[None]]) -> None:
        self._fresh = fresh
        self._plugins = tuple(plugins)
        self._found: dict[tuple[str, str, str], tuple[tuple[Step, ...], tuple[Step, ...]]] = {}

    async def mutate(self, attributes: Attributes) -> None:
        """See the Admission door."""
        await self._fresh()
        await _run(self._steps(attributes)[0], attributes)

    async def validate(self, attributes: Attributes) -> None:
        """See the Admission door."""
        await _run(self._steps(attributes)[1], attributes)

    def _steps(self, attributes: Attributes) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
        key = (attributes.operation, attributes.resource.group, attributes.resource.name)
        found = self._found.get(key)
        if found is None:
            concerned = [plugin for plugin in self._plugins if plugin.concerns(*key)]
            found = self._found[key] = (
                tuple(plugin.mutate for plugin in concerned if plugin.mutate is not None),
                tuple(plugin.validate for plugin in concerned if plugin.validate is not None),
            )
        return found


async def _run(steps: Sequence[Step], attributes: Attributes) -> None:
    for step in steps:
        pending = step(attributes)
        if pending is not None:
            await pending


def forbidden(attributes: Attributes, why: str) -> StatusError:
    """The 403 of a plugin."""
    resource = attributes.resource
    name = attributes.name
    if not name and attributes.object is not None:
        # A name that is still to be generated is told by its prefix, as Kubernetes does.
        name = attributes.object["metadata"].get("generateName", "")
    return errors.forbidden(resource.name.partition("/")[0], resource.group, name, why)
