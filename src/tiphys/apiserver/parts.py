"""What every verb is given: the store, the cache and the rules around them. Built once, in server.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tiphys.apiserver.allocators import ServiceAllocator
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.call import Admission, Attributes, Review
from tiphys.apiserver.records import NoSealer, Sealer
from tiphys.store.door import Store


class Admitted:
    """Admission that lets everything pass: a server without plugins."""

    async def mutate(self, attributes: Attributes) -> None: ...

    async def validate(self, attributes: Attributes) -> None: ...


@dataclass(slots=True)
class Parts:
    """`reviews` are creates that store nothing, by (group, resource or resource/subresource)."""

    store: Store
    cache: Cache
    sealer: Sealer = field(default_factory=NoSealer)
    admission: Admission = field(default_factory=Admitted)
    reviews: Mapping[tuple[str, str], Review] = field(default_factory=dict)
    now: Callable[[], float] = time.time
    services: ServiceAllocator = field(default_factory=ServiceAllocator)
