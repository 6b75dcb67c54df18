"""Gather a ServiceCIDR's facts and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api.objects import is_deleting, key_of, name_of
from tiphys.controllers.servicecidr.plan import ADDRESSES, RANGES, near, overlap, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]


class ServiceCidrController:
    """Writes finalizers and the Ready condition of ServiceCIDRs."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._ranges = tools.informers.of(RANGES)
        self._addresses = tools.informers.of(ADDRESSES)
        sources = {self._ranges: self._keys_of_range, self._addresses: self._keys_of_address}
        self._loop = Loop("service-cidr-controller", self._reconcile, sources, workers=1)

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_range(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """Itself, and those whose addresses it may take over."""
        changed = new if new is not None else old
        if changed is None:
            return
        yield key_of(changed)
        for other in self._ranges.list():
            if is_deleting(other) and overlap(changed, other):
                yield key_of(other)

    def _keys_of_address(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """One that is given back may have been the last that a range waited for."""
        if new is None and old is not None:
            for cidr in self._ranges.list():
                if is_deleting(cidr) and near(cidr, name_of(old)):
                    yield key_of(cidr)

    async def _reconcile(self, key: Key) -> Performed | None:
        cidr = self._ranges.get(*key)
        if cidr is None:
            return None
        others = [other for other in self._ranges.list() if name_of(other) != name_of(cidr)]
        addresses = [name_of(address) for address in self._addresses.list()] if is_deleting(cidr) else []
        return await self._tools.perform(plan(cidr, others, addresses, self._tools.now()))
