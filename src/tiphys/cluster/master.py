"""
The API server's part of a cluster: keys, store, API server, TLS listener, kubeconfig.

`serving` is the whole life of it. It listens before it reads the store, so that a taken port is told before anything
was touched, and answers 503 until it is ready. It ends in the order that loses nothing: watches end, requests under
way are answered, connections close, and the store comes last.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tiphys.api import errors
from tiphys.apiserver import answers, pages, secure, server
from tiphys.apiserver.aggregation.aggregator import Aggregator
from tiphys.apiserver.audit import AuditSettings
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.extensions import Shown
from tiphys.apiserver.metrics.extension import measured
from tiphys.apiserver.secure import Security, SecuritySettings
from tiphys.apiserver.server import ApiServer, Extras
from tiphys.cluster import identities
from tiphys.cluster.failures import CannotServe
from tiphys.cluster.identities import Identities
from tiphys.cluster.process import Progress
from tiphys.cluster.reach import Nodes
from tiphys.cluster.settings import Settings
from tiphys.pki import kubeconfig, tls
from tiphys.store.door import Store, StoreError
from tiphys.wire import server as http
from tiphys.wire.messages import Handler, Request, Response

DRAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Master:
    """A running API server. `handle` is the Handler that in-process clients are made of."""

    settings: Settings
    identities: Identities
    api: ApiServer
    security: Security
    port: int
    advertised: str

    @property
    def handle(self) -> Handler:
        return self.api.handle


class Readiness:
    """What the health checks ask: set while the server takes requests."""

    def __init__(self) -> None:
        self.ready = False

    def __call__(self) -> bool:
        return self.ready


@asynccontextmanager
async def serving(settings: Settings, progress: Progress) -> AsyncIterator[Master]:
    """The API server, ready for clients, until the block is left. Raises CannotServe."""
    advertised = identities.advertised_address(settings)
    keys = identities.load_or_create(settings, advertised)
    progress.tell("keys")
    async with AsyncExitStack() as stack:
        listener = await _listen(settings, keys)
        stack.push_async_callback(listener.close)
        store = await _open_store(settings)
        stack.push_async_callback(store.close)
        progress.tell("store")
        security = _security(settings, store)
        stack.callback(security.close)
        readiness = Readiness()
        reach = Nodes(keys)
        stack.push_async_callback(reach.close)
        api = _api_server((settings, advertised, listener.port), store, security, readiness, reach)
        master = Master(settings, keys, api, security, listener.port, advertised)
        await stack.enter_async_context(_running(master, listener))
        progress.tell("api")
        readiness.ready = True
        try:
            yield master
        finally:
            readiness.ready = False


@asynccontextmanager
async def _running(master: Master, listener: http.HttpServer) -> AsyncIterator[None]:
    """The API server follows its store and takes requests; at the end it drains."""
    api = master.api
    try:
        await api.start()
    except StoreError as error:
        raise CannotServe(str(error)) from None
    async with asyncio.TaskGroup() as tasks:
        # In a group: a server that can no longer follow its store must not go on.
        following = tasks.create_task(api.run())
        await api.boot()
        await master.security.boot(api)
        listener.handler = api.handle
        _write_kubeconfigs(master)
        yield
        api.drain()
        await listener.drain(DRAIN_SECONDS)
        following.cancel()


async def _listen(settings: Settings, keys: Identities) -> http.HttpServer:
    context = tls.server_context(keys.server, client_authorities=keys.authority.bundle)
    try:
        return await http.start(_not_ready, host=settings.bind, port=settings.port, tls=context, on_error=_refused)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"port {settings.port} is taken by another process: stop that one, or choose another with --port"
        elif error.errno in (errno.EACCES, errno.EPERM):
            text = f"port {settings.port} needs root: choose one above 1023 with --port"
        else:
            text = f"cannot listen on {settings.bind}:{settings.port}: {error.strerror}"
        raise CannotServe(text) from None


async def _open_store(settings: Settings) -> Store:
    if settings.memory:
        from tiphys.store.memory import MemoryStore

        return MemoryStore()
    from tiphys.store.sqlite import SqliteStore

    settings.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return await SqliteStore.open(settings.database)
    except StoreError as error:
        raise CannotServe(str(error)) from None


def _security(settings: Settings, store: Store) -> Security:
    audit = None if settings.memory else AuditSettings(settings.audit_log)
    try:
        return secure.secured(SecuritySettings(settings.pki_dir, settings.token_file, audit), store)
    except ValueError as error:  # names the file that cannot be read
        raise CannotServe(str(error)) from None


def _api_server(
    place: tuple[Settings, str, int], store: Store, security: Security, readiness: Readiness, reach: Nodes
) -> ApiServer:
    settings, advertised, port = place
    trust = identities.trust_of(reach.keys)

    def extras(cache: Cache) -> Extras:
        given = security.extras(cache)
        # What is measured comes from nodes, and autoscalers ask for it: an API alone serves what kube-apiserver does.
        if not settings.run_controllers:
            own = pages.builtin({"shutdown": readiness})
            return dataclasses.replace(given, pages=[*given.pages, *own], reach=reach)
        aggregator = Aggregator(cache, reach.backend, trust)
        extension, metrics = measured(cache, reach, aggregator)
        own = [aggregator.page, *pages.builtin({"shutdown": readiness}, Shown(extension)), metrics]
        return dataclasses.replace(given, pages=[*given.pages, *own], reach=reach, extension=extension)

    own_settings = server.Settings(advertised, port, settings.service_cidr, local_storage=settings.run_controllers)
    return ApiServer(store, own_settings, sealer=security.sealer, extras=extras)


def _write_kubeconfigs(master: Master) -> None:
    """The data directory's own, and the one that was asked for: its appearance says that the API is ready."""
    settings = master.settings
    access = identities.admin_access(settings, master.identities, master.port)
    kubeconfig.write(settings.admin_kubeconfig, access)
    if settings.kubeconfig is not None:
        kubeconfig.write(settings.kubeconfig, access)


async def _not_ready(request: Request) -> Response:
    return answers.of_status(errors.failure(503, "ServiceUnavailable", "the server is starting").status)


def _refused(status: int, message: str) -> Response:
    """What never reached the API server (malformed, too large, too slow) is answered with a Status too."""
    known = {413: "RequestEntityTooLarge", 408: "Timeout", 405: "MethodNotAllowed"}
    reason = known.get(status, "BadRequest" if status < 500 else "InternalError")
    return answers.of_status(errors.failure(status, reason, message).status)
