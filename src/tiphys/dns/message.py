"""
The wire format of DNS messages (RFC 1035, RFC 6891): just what a server for one zone and a forwarder need.

Names are tuples of lower-case labels without the root. Whatever bytes come in, `parse` gives a Query or raises
Malformed, in time bounded by the length of the message.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

Name = tuple[bytes, ...]

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, AXFR, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 252, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

FLAG_RESPONSE, FLAG_AUTHORITATIVE, FLAG_TRUNCATED = 0x8000, 0x0400, 0x0200
FLAG_RECURSION_DESIRED, FLAG_RECURSION_AVAILABLE, FLAG_CHECKING_DISABLED = 0x0100, 0x0080, 0x0010
OPCODE_MASK, CODE_MASK = 0x7800, 0x000F

NAME_BYTES_MAX = 255
LABEL_BYTES_MAX = 63
PLAIN_UDP_BYTES = 512
# What passes every path without fragments (the advice of DNS flag day 2020).
UDP_BYTES = 1232

_HEADER = struct.Struct(">HHHHHH")
_QUESTION = struct.Struct(">HH")
_RECORD = struct.Struct(">HHIH")


class Malformed(Exception):
    """The bytes are no DNS message that can be answered."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question. `question` is its raw bytes, to be echoed. `edns_bytes` None means no EDNS."""

    id: int
    flags: int
    name: Name
    type: int
    klass: int
    question: bytes
    edns_bytes: int | None = None
    edns_version: int = 0
    dnssec_ok: bool = False

    @property
    def udp_bytes_max(self) -> int:
        """How long an answer over UDP may be."""
        return PLAIN_UDP_BYTES if self.edns_bytes is None else max(PLAIN_UDP_BYTES, min(self.edns_bytes, UDP_BYTES))


# What a record says: bytes as they go over the wire (A, AAAA, TXT), a name (CNAME, NS, PTR), a service
# (priority, weight, port, target), or an authority (name server, mailbox, five numbers).
Service = tuple[int, int, int, Name]
Authority = tuple[Name, Name, tuple[int, int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Record:
    name: Name
    type: int
    ttl_seconds: int
    data: bytes | Name | Service | Authority


@dataclass(frozen=True, slots=True)
class Answer:
    code: int = NOERROR
    answers: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    additional: Sequence[Record] = ()
    authoritative: bool = True


def name_of(text: str) -> Name:
    """`web.shop` as a Name."""
    return tuple(label.encode("utf-8", "surrogateescape").lower() for label in text.rstrip(".").split(".") if label)


def text_of(name: Name) -> str:
    return ".".join(label.decode("ascii", "backslashreplace") for label in name)


# reading


def parse(data: bytes) -> Query:
    """The question of a query."""
    if len(data) < 12:
        raise Malformed("shorter than a header")
    identifier, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if flags & FLAG_RESPONSE:
        raise Malformed("a response")
    if questions != 1:
        raise Malformed(f"{questions} questions")
    name, offset = read_name(data, 12)
    if offset + 4 > len(data):
        raise Malformed("the question ends early")
    # It is echoed byte by byte, where the same pointer would mean another name.
    if offset - 12 != sum(map(len, name)) + len(name) + 1:
        raise Malformed("a pointer in the question")
    kind, klass = _QUESTION.unpack_from(data, offset)
    offset += 4
    question = data[12:offset]
    for _ in range(answers + authorities):
        offset = _skip_record(data, offset)
    for _ in range(additional):
        start = offset
        offset = _skip_record(data, offset)
        # EDNS: the root's name, its type, then the size where a class would be and the version in the TTL.
        if data[start] == 0 and data[start + 1 : start + 3] == b"\0\x29":
            size = int.from_bytes(data[start + 3 : start + 5], "big")
            version, wants_dnssec = data[start + 6], bool(data[start + 7] & 0x80)
            return Query(identifier, flags, name, kind, klass, question, size, version, wants_dnssec)
    return Query(identifier, flags, name, kind, klass, question)


def read_name(data: bytes, offset: int) -> tuple[Name, int]:
    """The name at `offset` and the offset behind it. Pointers must lead backwards, so that they come to an end."""
    labels: list[bytes] = []
    end, limit, total = -1, offset, 0
    while True:
        if offset >= len(data):
            raise Malformed("a name ends early")
        length = data[offset]
        if length >= 0xC0:
            if offset + 1 >= len(data):
                raise Malformed("a pointer ends early")
            target = (length & 0x3F) << 8 | data[offset + 1]
            end = offset + 2 if end < 0 else end
            if target >= limit:
                raise Malformed("a pointer that leads nowhere")
            offset = limit = target
        elif length > LABEL_BYTES_MAX:
            raise Malformed("a label of an unknown kind")
        elif length == 0:
            return tuple(labels), offset + 1 if end < 0 else end
        else:
            label = data[offset + 1 : offset + 1 + length]
            total += length + 1
            if len(label) < length or total >= NAME_BYTES_MAX:
                raise Malformed("a name that is too long")
            labels.append(label.lower())
            offset += 1 + length


def ttl_offsets(data: bytes) -> list[tuple[int, int]]:
    """(offset, seconds) of the TTL of each record of a response, but for EDNS."""
    if len(data) < 12:
        raise Malformed("shorter than a header")
    _, _, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    offset = 12
    for _ in range(questions):
        _, offset = read_name(data, offset)
        offset += 4
    found = []
    for _ in range(answers + authorities + additional):
        _, start = read_name(data, offset)
        offset = _skip_record(data, offset)
        kind, _, ttl, _ = _RECORD.unpack_from(data, start)
        if kind != OPT:
            found.append((start + 4, ttl))
    return found


def records_of(data: bytes) -> list[Record]:
    """The answer section of a response: addresses and aliases, with names written out; other types are left out."""
    if len(data) < 12:
        raise Malformed("shorter than a header")
    _, _, questions, answers, _, _ = _HEADER.unpack_from(data)
    offset = 12
    for _ in range(questions):
        _, offset = read_name(data, offset)
        offset += 4
    found: list[Record] = []
    for _ in range(answers):
        name, start = read_name(data, offset)
        offset = _skip_record(data, offset)
        kind, klass, ttl, length = _RECORD.unpack_from(data, start)
        raw = data[start + 10 : start + 10 + length]
        if klass != IN:
            continue
        if kind in (A, AAAA):
            found.append(Record(name, kind, ttl, raw))
        elif kind == CNAME:
            found.append(Record(name, kind, ttl, read_name(data, start + 10)[0]))
    return found


def _skip_record(data: bytes, offset: int) -> int:
    _, offset = read_name(data, offset)
    if offset + 10 > len(data):
        raise Malformed("a record ends early")
    offset += 10 + int.from_bytes(data[offset + 8 : offset + 10], "big")
    if offset > len(data):
        raise Malformed("a record ends early")
    return offset


# writing


@dataclass(slots=True)
class _Writer:
    """Bytes so far, and where each name (or its end) is written, for pointers."""

    data: bytearray = field(default_factory=bytearray)
    places: dict[Name, int] = field(default_factory=dict)

    def name(self, name: Name, *, compress: bool = True) -> None:
        for start in range(len(name)):
            rest = name[start:]
            place = self.places.get(rest)
            if place is not None and compress:
                self.data += struct.pack(">H", 0xC000 | place)
                return
            if place is None and len(self.data) < 0x4000:
                self.places[rest] = len(self.data)
            self.data.append(len(name[start]))
            self.data += name[start]
        self.data.append(0)

    def record(self, record: Record) -> None:
        self.name(record.name)
        self.data += _RECORD.pack(record.type, IN, record.ttl_seconds, 0)
        start = len(self.data)
        self._content(record)
        struct.pack_into(">H", self.data, start - 2, len(self.data) - start)

    def _content(self, record: Record) -> None:
        match record.type, record.data:
            case _, bytes(raw):
                self.data += raw
            case 33, (int(priority), int(weight), int(port), tuple(target)):
                self.data += struct.pack(">HHH", priority, weight, port)
                # Pointers are forbidden in the target (RFC 2782).
                self.name(target, compress=False)
            case 6, (tuple(server), tuple(mailbox), tuple(numbers)):
                self.name(server)
                self.name(mailbox)
                self.data += struct.pack(">IIIII", *numbers)
            case _, tuple(name):
                self.name(name)  # type: ignore[arg-type]


def encode(query: Query, answer: Answer, bytes_max: int = 65535) -> bytes:
    """The response. What does not fit is left out, and the client told to come over TCP."""
    # Extras are a courtesy: without them an answer is still whole.
    for additional in (answer.additional, ()):
        data = _encode(query, answer, additional)
        if len(data) <= bytes_max:
            return data
    return _encode(query, Answer(answer.code, authoritative=answer.authoritative), (), FLAG_TRUNCATED)


def _encode(query: Query, answer: Answer, additional: Sequence[Record], extra_flags: int = 0) -> bytes:
    flags = FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | extra_flags
    flags |= query.flags & (OPCODE_MASK | FLAG_RECURSION_DESIRED) | answer.code & CODE_MASK
    if answer.authoritative:
        flags |= FLAG_AUTHORITATIVE
    has_edns = query.edns_bytes is not None
    writer = _Writer()
    writer.data += _HEADER.pack(
        query.id, flags, 1, len(answer.answers), len(answer.authority), len(additional) + has_edns
    )
    writer.name(query.name)
    # As it came, with its upper and lower case: some clients check it.
    writer.data[12:] = query.question
    for record in (*answer.answers, *answer.authority, *additional):
        writer.record(record)
    if has_edns:
        writer.data += b"\0" + _RECORD.pack(OPT, UDP_BYTES, answer.code >> 4 << 24, 0)
    return bytes(writer.data)


def refusal(data: bytes, code: int) -> bytes | None:
    """A bare error for a message that could not be parsed; None where even that makes no sense."""
    if len(data) < 12 or data[2] & 0x80:
        return None
    flags = FLAG_RESPONSE | (int.from_bytes(data[2:4], "big") & (OPCODE_MASK | FLAG_RECURSION_DESIRED)) | code
    return data[:2] + struct.pack(">HHHHH", flags, 0, 0, 0, 0)


# passing on


def upstream_query(query: Query, identifier: int) -> bytes:
    """The same question in our words: whatever else a client put into its message stays here."""
    flags = FLAG_RECURSION_DESIRED | query.flags & FLAG_CHECKING_DISABLED
    has_edns = query.edns_bytes is not None
    head = _HEADER.pack(identifier, flags, 1, 0, 0, int(has_edns))
    # Lower case as in `name`: clients that differ in case alone share one answer.
    question = b"".join(bytes((len(label),)) + label for label in query.name)
    edns = b"\0" + _RECORD.pack(OPT, UDP_BYTES, 0x8000 if query.dnssec_ok else 0, 0) if has_edns else b""
    return head + question + b"\0" + _QUESTION.pack(query.type, query.klass) + edns


def query_for(name: Name, kind: int, *, edns: bool = True) -> Query:
    """A question of our own."""
    question = b"".join(bytes((len(label),)) + label for label in name) + b"\0" + _QUESTION.pack(kind, IN)
    return Query(0, FLAG_RECURSION_DESIRED, name, kind, IN, question, UDP_BYTES if edns else None)


def answers_question(data: bytes, sent: bytes, question_bytes: int) -> bool:
    """Whether `data` is a response to the query `sent`, and not somebody's guess."""
    end = 12 + question_bytes
    if len(data) < end or data[:2] != sent[:2] or not data[2] & 0x80 or data[4:6] != b"\0\1":
        return False
    return data[12:end].lower() == sent[12:end].lower()


def code_of(data: bytes) -> int:
    return data[3] & CODE_MASK


def is_truncated(data: bytes) -> bool:
    return bool(data[2] & FLAG_TRUNCATED >> 8)


def answer_count(data: bytes) -> int:
    return int.from_bytes(data[6:8], "big")


def truncated(data: bytes, query: Query) -> bytes:
    """The head and question of a response that does not fit: the client is told to come over TCP."""
    flags = int.from_bytes(data[2:4], "big") | FLAG_TRUNCATED
    has_edns = query.edns_bytes is not None
    edns = b"\0" + _RECORD.pack(OPT, UDP_BYTES, 0, 0) if has_edns else b""
    return data[:2] + struct.pack(">HHHHH", flags, 1, 0, 0, int(has_edns)) + query.question + edns
