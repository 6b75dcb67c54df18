"""Builders for DNS messages and zones."""

import struct

from tiphys.dns import message, records
from tiphys.dns.message import IN, A, name_of
from tiphys.dns.zone import Zone

DOMAIN = name_of("cluster.local")


def query(name, kind=A, *, edns=None, identifier=7, flags=0x0100, klass=IN):
    """A query as it goes over the wire; upper case is kept."""
    labels = b"".join(bytes((len(label),)) + label for label in name.encode().split(b".") if label)
    head = struct.pack(">HHHHHH", identifier, flags, 1, 0, 0, int(edns is not None))
    extra = b"" if edns is None else b"\0" + struct.pack(">HHIH", message.OPT, edns, 0, 0)
    return head + labels + b"\0" + struct.pack(">HH", kind, klass) + extra


def response(sent, *answers, code=0, authority=(), flags=0, authoritative=False):
    """What a server says to the query bytes `sent`."""
    asked = message.parse(sent)
    data = message.encode(asked, message.Answer(code, answers, authority, authoritative=authoritative))
    return data[:2] + struct.pack(">H", int.from_bytes(data[2:4], "big") | flags) + data[4:]


def address(name, text, seconds=60):
    return message.Record(name_of(name), A, seconds, bytes(int(part) for part in text.split(".")))


def zone(*services, slices=(), namespaces=("shop",)):
    made = Zone("cluster.local", "10.96.0.10", ["10.42.0.0/16", "10.96.0.0/16"])
    for service in services:
        made.put(("service", service["metadata"]["name"]), records.of_service(service, slices, DOMAIN))
    for name in namespaces:
        made.put(("namespace", name), [], records.of_namespace({"metadata": {"name": name}}, DOMAIN))
    return made


def shown(found):
    """Records as `name type data` lines."""
    return sorted(f"{message.text_of(r.name)} {r.type} {_data(r.data)}" for r in found)


def _data(data):
    if isinstance(data, bytes):
        return ".".join(str(byte) for byte in data) if len(data) == 4 else data.hex()
    if data and isinstance(data[0], int):
        return " ".join(str(item) for item in data[:3]) + " " + message.text_of(data[3])
    return message.text_of(data)
