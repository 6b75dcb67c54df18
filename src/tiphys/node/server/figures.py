"""
The routes that tell what is used: `/stats/…` for Kubernetes' clients, `/metrics/…` for Prometheus.

Nothing is read unless somebody asks, so that a node that nobody looks at has no work with it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from tiphys.aio import clock as clocks
from tiphys.node.server import prometheus, rates, readings, summary
from tiphys.node.server.disks import Disks
from tiphys.node.server.doors import Counting, PodPlaces, PodsHere, VolumePlace
from tiphys.node.server.query import Query, is_set
from tiphys.node.server.rates import Rates
from tiphys.node.server.readings import FileSystem, Interface
from tiphys.node.server.summary import Looked, Own, Storage
from tiphys.observe import metrics
from tiphys.wire.messages import Response

JSON = (("Content-Type", "application/json"),)
METRICS = (("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),)
NOT_FOUND = Response(404, (("Content-Type", "text/plain; charset=utf-8"),), b"404 page not found\n")


@dataclass(frozen=True, slots=True)
class About:
    """Whose figures they are, and where pods' data and images are on disk."""

    node_name: str = ""
    data_dir: Path = Path("/")
    image_root: Path = Path("/")


class Figures:
    """`counting` counts what comes to Services, where this node has any."""

    def __init__(
        self, here: PodsHere, about: About, counting: Counting | None = None, clock: clocks.Clock = time.time
    ) -> None:
        self._here = here
        self._about = about
        self._counting = counting
        self._clock = clock
        self._started_at = clock()
        self._rates = Rates(lambda brief: here.usages(brief=brief), readings.busy_ns, clock)
        self._disks = Disks()

    async def stats(self, words: Sequence[str], query: Query) -> Response:
        """`/stats/summary`, and what the API server asks each second: `/stats/usage`, `/stats/services`."""
        if words == ["usage"]:
            measured = await self._rates.measure(brief=True)
            return _json(rates.document(measured, readings.read_machine().used_bytes))
        if words == ["services"]:
            return await self._arrivals(query)
        if words == ["summary"]:
            brief = is_set(query, "only_cpu_and_memory")
            looked = await self._look(brief=brief)
            return _json(summary.cpu_and_memory(looked) if brief else summary.summary(looked))
        return NOT_FOUND

    async def metrics(self, words: Sequence[str]) -> Response:
        """The agent's own, `/metrics/resource` and `/metrics/cadvisor`."""
        if not words:
            return Response(200, METRICS, metrics.render() + await self._volumes())
        if words == ["resource"]:
            pods = await self._here.usages()
            return Response(200, METRICS, prometheus.resource(pods, readings.read_machine(), self._clock()))
        if words == ["cadvisor"]:
            pods, networks = await self._here.usages(), _networks(await self._here.places())
            processors = len(os.sched_getaffinity(0))
            return Response(200, METRICS, prometheus.cadvisor(pods, networks, readings.read_machine(), processors))
        return NOT_FOUND

    async def _volumes(self) -> bytes:
        """How full the claims of pods are: each is a file system of its own, so nothing is walked."""
        places = await self._here.places()
        claimed = [volume for place in places.values() for volume in place.volumes if volume.claim]
        systems = await asyncio.to_thread(_file_systems, [volume.path for volume in claimed])
        systems |= _told(claimed)
        return prometheus.volumes(claimed, systems)

    async def _look(self, *, brief: bool) -> Looked:
        measured = await self._rates.measure()
        places = {} if brief else await self._here.places()
        own = Own(time.process_time_ns(), readings.own_rss_bytes(), self._started_at)
        return Looked(
            self._about.node_name,
            readings.read_machine(),
            own,
            measured,
            await self._storage(places.values()),
            places,
            () if brief else readings.interfaces(),
            readings.default_interface(),
            _networks(places),
        )

    async def _storage(self, places: Iterable[PodPlaces]) -> Storage:
        about, paths, volumes = self._about, [], []
        told: dict[str, FileSystem] = {}
        for place in places:
            told |= _told(place.volumes)
            volumes += [volume.path for volume in place.volumes]
            paths += [volume.path for volume in place.volumes if not volume.claim]
            paths += [*place.layers.values(), *place.logs.values()]
        systems = await asyncio.to_thread(_file_systems, [str(about.data_dir), str(about.image_root), *volumes])
        systems |= told
        whole = systems.get(str(about.data_dir)) or FileSystem(0, 0, 0, 0, 0)
        return Storage(whole, systems.get(str(about.image_root)) or whole, await self._disks.sizes(paths), systems)

    async def _arrivals(self, query: Query) -> Response:
        """`kind=requests&service=shop/web`: what comes to Services through this node."""
        asked = [(namespace, name) for namespace, _, name in (text.partition("/") for text in query.get("service", ()))]
        kind = next(iter(query.get("kind", ())), "")
        found = await self._counting.arrivals(kind, asked) if self._counting is not None else {}
        told = {
            "/".join(owner): {"perSecond": one.per_second, "window": one.window_seconds, "at": one.at}
            for owner, one in found.items()
        }
        return _json({"services": told})


def _json(document: object) -> Response:
    return Response(200, JSON, orjson.dumps(document))


def _file_systems(paths: Iterable[str]) -> dict[str, FileSystem]:
    found = {path: readings.file_system(path) for path in dict.fromkeys(paths)}
    return {path: system for path, system in found.items() if system is not None}


def _told(volumes: Iterable[VolumePlace]) -> dict[str, FileSystem]:
    """What drivers say of theirs goes before what the kernel shows."""
    return {volume.path: volume.measured for volume in volumes if volume.measured is not None}


def _networks(places: Mapping[str, PodPlaces]) -> dict[str, list[Interface]]:
    return {uid: readings.interfaces(place.pid) for uid, place in places.items() if place.pid}
