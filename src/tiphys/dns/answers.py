"""
From a query's bytes to an answer's bytes, for names of the cluster.

Most queries are repetitions, so encoded answers are kept by all of the query but its id: a hit costs a look-up and a
join. They are dropped when the zone changes. An answer with several addresses is kept in several orders that take
turns, so that clients that take the first one spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tiphys.dns import message
from tiphys.dns.message import AAAA, AXFR, CNAME, IN, A, Answer, Malformed, Name, Query, Record
from tiphys.dns.zone import Zone

ENTRIES_MAX = 4096
# Longer queries are rare and not worth the memory.
KEY_BYTES_MAX = 512
ORDERS_MAX = 8
TCP_BYTES = 65535


class Upstream(Exception):
    """
    The answer has to come from upstream: for the whole `query`, or for `target`, the alias at the end of `known`.
    """

    def __init__(self, query: Query, known: Answer | None = None, target: Name = ()) -> None:
        super().__init__(message.text_of(query.name))
        self.query = query
        self.known = known
        self.target = target


class ZoneIncomplete(Exception):
    """The name is one of the cluster, and the zone is not whole yet."""


class Answers:
    """`synced` says whether the zone is whole; before that, nothing is known about its names."""

    def __init__(self, zone: Zone) -> None:
        self.synced = False
        self._zone = zone
        self._serial = zone.serial
        self._kept: dict[bytes, list[bytes]] = {}
        self._turn = 0

    def kept(self) -> dict[bytes, list[bytes]]:
        """
        Answers over UDP without their ids, by queries without theirs. Valid until the loop's next turn.

        The server reads it directly: at 30,000 queries a second even a call for each would be felt.
        """
        if self._serial != self._zone.serial:
            self._serial = self._zone.serial
            self._kept.clear()
        return self._kept

    def answer(self, data: bytes, *, udp: bool) -> bytes | None:
        """The answer; None for what is not answered at all. Raises Upstream and ZoneIncomplete."""
        try:
            query = message.parse(data)
        except Malformed:
            return message.refusal(data, message.FORMERR)
        code = _refused(query)
        if code is None and self._zone.is_ours(query.name):
            if not self.synced:
                raise ZoneIncomplete
            return self._from_zone(data, query, udp=udp)
        if code is None:
            raise Upstream(query)
        return message.encode(query, Answer(code, authoritative=False))

    def _from_zone(self, data: bytes, query: Query, *, udp: bool) -> bytes:
        answer = self._zone.answer(query)
        if answer.answers and query.type in (A, AAAA):
            last = answer.answers[-1]
            if last.type == CNAME and isinstance(last.data, tuple) and not self._zone.is_ours(last.data):  # type: ignore[arg-type]
                raise Upstream(query, answer, last.data)  # type: ignore[arg-type]
        if not udp:
            return message.encode(query, answer, TCP_BYTES)
        bodies = [message.encode(query, order, query.udp_bytes_max)[2:] for order in _orders(answer)]
        if len(data) <= KEY_BYTES_MAX:
            kept = self.kept()
            if len(kept) >= ENTRIES_MAX:
                kept.clear()
            kept[data[2:]] = bodies
        return data[:2] + bodies[0]


def with_target(query: Query, known: Answer, found: Sequence[Record], code: int, bytes_max: int) -> bytes:
    """An alias of ours, together with what upstream says about its target."""
    answer = replace(known, code=code, answers=[*known.answers, *found], additional=())
    return message.encode(query, answer, bytes_max)


def _refused(query: Query) -> int | None:
    """The code for what is never answered."""
    if query.flags & message.OPCODE_MASK:
        return message.NOTIMP
    if query.edns_version:
        return message.BADVERS
    if query.klass != IN or query.type == AXFR:
        return message.REFUSED
    return None


def _orders(answer: Answer) -> list[Answer]:
    """The addresses of an answer, each of the first few in front once; aliases stay before them."""
    head = [record for record in answer.answers if record.type not in (A, AAAA)]
    addresses = [record for record in answer.answers if record.type in (A, AAAA)]
    if len(addresses) < 2:
        return [answer]
    turns = range(min(len(addresses), ORDERS_MAX))
    return [replace(answer, answers=[*head, *addresses[turn:], *addresses[:turn]]) for turn in turns]
