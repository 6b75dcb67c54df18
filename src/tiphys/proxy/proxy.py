"""
Keep the packet rules of this node in step with Services, their EndpointSlices and network policies.

Woken by events, never by a clock: each event names a Service, a policy or a pod; all that came within one turn of the
loop are one transaction. At start the rules that an earlier process left stay in force until the new ones replace them
at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiphys.api.objects import key_of, labels_of, namespace_of
from tiphys.api.resources import Resource, get
from tiphys.client.informer import Informer
from tiphys.network import conntrack
from tiphys.network.door import NetworkFailure
from tiphys.network.packets import PacketTable
from tiphys.network.rules import Ruleset
from tiphys.proxy import layout
from tiphys.proxy.claims import Claims, Owner
from tiphys.proxy.flows import astray
from tiphys.proxy.plan import rules_of
from tiphys.proxy.policy.follow import POD, POLICY, Policies
from tiphys.proxy.settings import ProxySettings

Object = dict[str, Any]
log = logging.getLogger(__name__)

SERVICES: Resource = get("", "v1", "services")
ENDPOINT_SLICES: Resource = get("discovery.k8s.io", "v1", "endpointslices")
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
INDEX = "service"
POD_INDEX = "pod uid"
RETRY_SECONDS = (0.05, 0.5, 5.0)


class Proxy:
    """`informer_of` gives shared informers (of pods and namespaces once there is a policy); their owner runs them."""

    def __init__(self, settings: ProxySettings, informer_of: Callable[[Resource], Informer]) -> None:
        self._settings = settings
        self._services = informer_of(SERVICES)
        self._slices = informer_of(ENDPOINT_SLICES)
        self._slices.add_index(INDEX, _service_names)
        self._slices.add_index(POD_INDEX, _pod_uids)
        self._policies = Policies(settings.node_name, informer_of, self._mark)
        self._table = PacketTable(settings.table)
        self._claims = Claims()
        self._dirty: set[Owner] = set()
        self._writing: set[Owner] = set()
        self._wake = asyncio.Event()
        # Set whenever the kernel holds what the caches say.
        self.settled = asyncio.Event()
        # Set at the next write, and replaced by a new one.
        self._written = asyncio.Event()

    async def withdrawn(self, uid: str) -> None:
        """
        Return when the kernel leads no new connection to a pod that is ending, unless nobody else serves.

        The pod's endpoints are gone or known as terminating by then, and the rules are written.
        """
        while self._dirty or not self.settled.is_set() or self._is_serving(uid):
            await self._written.wait()

    async def guarded(self, pod: Object, address: str) -> None:
        """Return when the kernel judges this new address of a pod of ours by the network policies that select it."""
        owner = self._policies.guard(pod, address)
        while owner is not None and (owner in self._dirty or owner in self._writing):
            await self._written.wait()

    def released(self, uid: str) -> None:
        """The pod's address may be given to another."""
        self._policies.release(uid)

    def _is_serving(self, uid: str) -> bool:
        pieces = self._slices.by(POD_INDEX, uid)
        return any(
            _pod_uid(endpoint) == uid and not (endpoint.get("conditions") or {}).get("terminating")
            for piece in pieces
            for endpoint in piece.get("endpoints") or ()
        )

    async def run(self) -> None:
        """Work until cancelled. The rules stay and go on to work."""
        await self._services.synced()
        await self._slices.synced()
        self._services.on_event(self._service_changed)
        self._slices.on_event(self._slice_changed)
        await self._policies.begin()
        await self._table.open()
        try:
            await self._until_done(self._write_all)
            while True:
                self.settled.set()
                self._written.set()
                self._written = asyncio.Event()
                await self._wake.wait()
                self.settled.clear()
                # Let the other events of this turn in.
                await asyncio.sleep(0)
                await self._until_done(self._write_changes)
        finally:
            await self._table.close()

    # events

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        self._mark(key_of(_either(old, new)))

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            if obj is not None:
                for name in _service_names(obj):
                    namespace, _, service = name.partition("/")
                    self._mark((namespace, service))

    def _mark(self, owner: Owner) -> None:
        self._dirty.add(owner)
        self._wake.set()

    # writing

    async def _until_done(self, write: Callable[[], Any]) -> None:
        """The kernel may refuse for a while (memory, somebody's lock): say so once and try again."""
        failures = 0
        while True:
            try:
                await write()
                return
            except (NetworkFailure, OSError) as error:
                if failures == 0:
                    log.error("the rules of Services could not be written, trying again: %s", error)
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1

    async def _write_all(self) -> None:
        self._wake.clear()
        self._dirty.clear()
        await self._policies.synced()
        claims = Claims()
        owners = [*map(key_of, self._services.list()), *self._policies.owners()]
        changes = claims.update({owner: self._plan(owner) for owner in owners})
        await self._table.replace(Ruleset.of([*layout.base(self._settings), *changes]))
        self._claims = claims

    async def _write_changes(self) -> None:
        self._wake.clear()
        # The first policy brings caches with it that may not be filled yet.
        await self._policies.synced()
        self._writing, self._dirty = self._dirty, set()
        planned = {owner: self._plan(owner) for owner in self._writing}
        before = {owner: self._claims.of(owner) for owner in planned}
        changes = self._claims.update(planned)
        if changes:
            try:
                await self._table.apply(changes)
            except BaseException:
                self._claims.update(before)
                self._dirty |= self._writing
                raise
        self._writing = set()
        flows = {flow for owner in planned for flow in astray(before[owner], planned[owner])}
        if flows:
            await asyncio.to_thread(conntrack.forget, flows)

    def _plan(self, owner: Owner) -> Ruleset:
        if owner[0] in (POLICY, POD):
            return self._policies.plan(owner)
        namespace, name = owner
        service = self._services.get(namespace, name)
        if service is None:
            return Ruleset()
        return rules_of(service, self._slices.by(INDEX, f"{namespace}/{name}"), self._settings)


def _service_names(piece: Object) -> Iterable[str]:
    name = labels_of(piece).get(SERVICE_NAME_LABEL)
    return (f"{namespace_of(piece)}/{name}",) if name else ()


def _pod_uids(piece: Object) -> set[str]:
    return {uid for endpoint in piece.get("endpoints") or () if (uid := _pod_uid(endpoint))}


def _pod_uid(endpoint: Mapping[str, Any]) -> str:
    return str((endpoint.get("targetRef") or {}).get("uid") or "")


def _either(old: Object | None, new: Object | None) -> Object:
    chosen = new if new is not None else old
    assert chosen is not None
    return chosen
