"""
Keep the data plane in step with Ingresses and what they name.

Nothing runs and no port is taken before there is an Ingress of ours; with the last one the data plane goes. One task
does it all, one step after another: what changed since the last step is read, planned and done together. Endpoints go
through the runtime socket, everything else makes HAProxy read its files anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from tiphys.api.errors import StatusError
from tiphys.api.objects import key_of, labels_of, namespace_of, revision_of
from tiphys.api.resources import Resource, get
from tiphys.client.informer import Informer
from tiphys.ingress import endpoints, plan, runtime, servers, status
from tiphys.ingress.config import files
from tiphys.ingress.haproxy import DataPlaneFailure, HaProxy, worker_account
from tiphys.ingress.plan import Key, Planned, Problem
from tiphys.ingress.routes import Table
from tiphys.ingress.settings import IngressSettings
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]
log = logging.getLogger(__name__)

INGRESSES = status.INGRESSES
CLASSES: Resource = get("networking.k8s.io", "v1", "ingressclasses")
SERVICES: Resource = get("", "v1", "services")
SLICES: Resource = get("discovery.k8s.io", "v1", "endpointslices")
SECRETS: Resource = get("", "v1", "secrets")
NODES: Resource = get("", "v1", "nodes")
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
INDEX = "service of ingress"
RETRY_SECONDS = (0.5, 5.0, 30.0)
# How often it is looked whether a pod has answered what it was asked; HAProxy does not tell.
DRAIN_SECONDS = 0.02


class Ingress:
    """`run()` works until cancelled; HAProxy goes on without it. `settled` is set while no step is under way."""

    def __init__(self, settings: IngressSettings, tools: Tools) -> None:
        self._settings = settings
        self._tools = tools
        of = tools.informers.of
        self._ingresses, self._classes, self._nodes = of(INGRESSES), of(CLASSES), of(NODES)
        self._services, self._slices = of(SERVICES), of(SLICES)
        self._slices.add_index(INDEX, _service_names)
        self._secrets: Informer | None = None
        self._haproxy = HaProxy(settings, self._process_ended)
        self._table = Table()
        self._generation = ""
        self._held: dict[str, list[servers.Server]] = {}
        # Pools by the Services that they lead to.
        self._users: dict[Key, set[str]] = {}
        self._told: set[Problem] = set()
        self._stale = True
        self._moved: set[Key] = set()
        self._wake = asyncio.Event()
        self.settled = asyncio.Event()
        # Set at the end of each step, and replaced by a new one.
        self._stepped = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Follow events; a failure is told to the Ingresses and tried again."""
        sources = (self._ingresses, self._classes, self._services, self._slices, self._nodes)
        for informer in sources:
            await informer.synced()
        self._ingresses.on_event(self._ingress_changed)
        self._classes.on_event(self._anything_changed)
        self._services.on_event(self._service_changed)
        self._slices.on_event(self._slice_changed)
        self._nodes.on_event(self._node_changed)
        try:
            await self._take_over()
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._follow()
        finally:
            self._haproxy.close()

    async def _follow(self) -> None:
        failures = 0
        while True:
            self._wake.clear()
            self.settled.clear()
            # Let the other events of this turn in.
            await asyncio.sleep(0)
            try:
                await self._step()
                failures = 0
            except (DataPlaneFailure, StatusError, OSError) as error:
                await self._failed(error, failures)
                failures += 1
            self.settled.set()
            self._stepped.set()
            self._stepped = asyncio.Event()
            pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1] if failures else None
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                self._stale = True

    async def _take_over(self) -> None:
        if not self._haproxy.take_over():
            return
        try:
            self._generation = await self._haproxy.generation()
            self._held = await self._haproxy.servers()
        except DataPlaneFailure as error:
            log.warning("the data plane of an earlier server is ended: %s", error)
            await self._haproxy.stop()

    # a pod that ends

    async def withdrawn(self, uid: str) -> None:
        """Return when the data plane sends that pod nothing any more, and has its answers."""
        while self._haproxy.is_running and (self._is_behind() or not self._has_ended(uid)):
            await self._stepped.wait()
        addresses = self._addresses_of(uid)
        while addresses and self._haproxy.is_running:
            if not await self._is_asked(addresses):
                return
            await asyncio.sleep(DRAIN_SECONDS)

    def _is_behind(self) -> bool:
        return self._stale or bool(self._moved) or not self.settled.is_set()

    def _pieces(self) -> Iterable[Object]:
        """The slices of all Services that are served."""
        return [piece for key in self._users for piece in self._slices_of(*key)]

    def _has_ended(self, uid: str) -> bool:
        return endpoints.has_ended(uid, self._pieces())

    def _addresses_of(self, uid: str) -> set[str]:
        """Those that take no new requests: the last one of a Service goes on to serve while it ends."""
        found = {
            endpoint["addresses"][0]
            for piece in self._pieces()
            for endpoint in piece.get("endpoints") or ()
            if (endpoint.get("targetRef") or {}).get("uid") == uid
        }
        return found - {server.address for listed in self._held.values() for server in listed if server.used}

    async def _is_asked(self, addresses: set[str]) -> bool:
        try:
            found = runtime.requests_under_way(await self._haproxy.ask(runtime.CONNECTIONS))
        except DataPlaneFailure:
            return False
        return any(count for (address, _), count in found.items() if address in addresses)

    # counts

    async def requests(self) -> dict[Key, int]:
        """By Service, what has come through Ingresses since HAProxy's worker began; a mixed pool's share by weight."""
        if not self._haproxy.is_running:
            return {}
        try:
            totals = runtime.requests(await self._haproxy.ask(runtime.TOTALS))
        except DataPlaneFailure as error:
            log.warning("requests through Ingresses cannot be counted: %s", error)
            return {}
        found: dict[Key, int] = {}
        for name, pool in self._table.pools.items():
            whole = sum(backend.weight for backend in pool.backends) or 1
            for backend in pool.backends:
                key = (backend.namespace, backend.service)
                found[key] = found.get(key, 0) + totals.get(name, 0) * backend.weight // whole
        return found

    # events

    def _anything_changed(self, old: Object | None, new: Object | None) -> None:
        self._stale = True
        self._wake.set()

    def _ingress_changed(self, old: Object | None, new: Object | None) -> None:
        # What we write ourselves changes the status alone; it is looked at, too, since somebody else may write it.
        self._anything_changed(old, new)

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        before, after = ((one or {}).get("spec", {}).get("ports") for one in (old, new))
        if len(self._ingresses) and (old is None or new is None or before != after):
            self._anything_changed(old, new)

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for piece in (old, new):
            for name in _service_names(piece) if piece is not None else ():
                namespace, _, service = name.partition("/")
                if (namespace, service) in self._users:
                    self._moved.add((namespace, service))
                    self._wake.set()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        before, after = (status.others([one] if one is not None else [], "") for one in (old, new))
        if len(self._ingresses) and before != after:
            self._anything_changed(old, new)

    def _process_ended(self) -> None:
        log.warning("HAProxy has ended")
        self._anything_changed(None, None)

    # one step

    async def _step(self) -> None:
        stale, self._stale = self._stale, False
        moved, self._moved = self._moved, set()
        try:
            mine = plan.ours(self._ingresses.list(), self._classes.list()) if len(self._ingresses) else []
            if not mine:
                await self._rest()
            elif stale:
                await self._serve(mine)
            else:
                await self._move({pool for key in moved for pool in self._users.get(key, ())})
        except BaseException:
            self._stale, self._moved = self._stale or stale, self._moved | moved
            raise

    async def _rest(self) -> None:
        """There is nothing to serve: no process, no port."""
        self._users, self._table, self._held, self._generation = {}, Table(), {}, ""
        self._told.clear()
        if self._haproxy.is_running:
            await self._haproxy.stop()

    async def _serve(self, mine: list[Object]) -> None:
        """Do what the Ingresses say, then tell them."""
        if plan.asks_for_certificates(mine):
            await self._look_at_secrets()
        planned = plan.plan(mine, self._services.get, self._secret)
        self._table = planned.table
        self._users = {}
        for pool in planned.table.pools.values():
            for backend in pool.backends:
                self._users.setdefault((backend.namespace, backend.service), set()).add(pool.name)
        await self._program()
        self._tell(planned)
        await self._write_statuses(mine, self._settings.address)

    async def _program(self) -> None:
        wanted = {name: endpoints.shares(pool, self._slices_of) for name, pool in self._table.pools.items()}
        fresh = {name: servers.first(shares) for name, shares in wanted.items()}
        made = files(self._table, fresh, self._settings, worker_account())
        if self._haproxy.is_running and self._generation == made.generation:
            await self._move(set(wanted))
            return
        if self._haproxy.is_running:
            await self._haproxy.reload(made)
        else:
            await self._haproxy.start(made)
        self._generation, self._held = made.generation, fresh

    async def _move(self, pools: Iterable[str]) -> None:
        """Give pools the endpoints that they have now."""
        for name in pools:
            held = self._held.get(name, [])
            made = servers.changes(held, endpoints.shares(self._table.pools[name], self._slices_of))
            try:
                await self._haproxy.perform(runtime.commands(name, made))
            except DataPlaneFailure:
                # What was done of it is not known: files that are read anew say all.
                self._generation, self._stale = "", True
                raise
            self._held[name] = servers.after(held, made)

    def _slices_of(self, namespace: str, service: str) -> Iterable[Object]:
        return self._slices.by(INDEX, f"{namespace}/{service}")

    # certificates

    async def _look_at_secrets(self) -> None:
        if self._secrets is None:
            assert self._group is not None
            self._secrets = self._tools.informers.apart(SECRETS, field_selector="type=kubernetes.io/tls")
            self._group.create_task(self._secrets.run(), name="certificates")
            await self._secrets.synced()
            self._secrets.on_event(self._anything_changed)

    def _secret(self, namespace: str, name: str) -> Object | None:
        return self._secrets.get(namespace, name) if self._secrets is not None else None

    # telling

    def _tell(self, planned: Planned) -> None:
        """Each problem once, for as long as it lasts."""
        for problem in planned.problems:
            if problem not in self._told:
                self._warn(problem)
        self._told = set(planned.problems)

    def _warn(self, problem: Problem) -> None:
        ingress = self._ingresses.get(*problem.ingress)
        if ingress is not None:
            self._tools.recorder.warning(ingress, problem.reason, problem.message)

    async def _failed(self, error: Exception, failures: int) -> None:
        reason = error.reason if isinstance(error, DataPlaneFailure) else "DataPlaneFailed"
        if failures == 0:
            log.error("Ingresses are not served as they should be, trying again: %s", error)
        mine = plan.ours(self._ingresses.list(), self._classes.list())
        for ingress in mine:
            problem = Problem(key_of(ingress), reason, str(error))
            if problem not in self._told:
                self._told.add(problem)
                self._warn(problem)
        if not self._haproxy.is_running:
            try:
                await self._write_statuses(mine, "")
            except (StatusError, OSError) as refused:
                log.warning("the status of Ingresses could not be written: %s", refused)

    async def _write_statuses(self, mine: list[Object], own: str) -> None:
        nodes = status.others(list(self._nodes.list()), self._settings.address)
        for ingress in mine:
            commands = status.plan(ingress, own, nodes)
            if not commands:
                continue
            try:
                await self._tools.perform(commands)
            except StatusError as error:
                # Changed or gone meanwhile: its event is on the way and wakes us again.
                if error.code not in (404, 409):
                    raise
                log.debug("Ingress %s (%s): %s", "/".join(key_of(ingress)), revision_of(ingress), error)


def _service_names(piece: Object) -> Iterable[str]:
    name = labels_of(piece).get(SERVICE_NAME_LABEL)
    return (f"{namespace_of(piece)}/{name}",) if name else ()
