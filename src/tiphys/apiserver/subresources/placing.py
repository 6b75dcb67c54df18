"""
Put a pod that has just been made on its node without decoding it.

Most pods are bound as they were created: a status of phase and quality of service alone, nothing else decided. What
binding adds to such a pod has its place at the end of spec and status, and these are the end of the stored bytes. Any
other pod (deleted, gated, bound, with conditions) is not of this form, and is decoded and looked at as usual.

A quote inside of a JSON string is escaped, so a name in quotes with its colon is a key wherever it stands; and a pod
has no top-level fields but kind, apiVersion, metadata, spec and status, so what ends before `,"status":` is its spec.
"""

from __future__ import annotations

import re

import orjson

from tiphys.api.objects import timestamp
from tiphys.apiserver.records import Record

_NEW = re.compile(
    rb'("metadata":\{[^{}]*"uid":"([^"]{36})"),"resourceVersion":"\d+"'
    rb'(,"generation":(\d+),"creationTimestamp":.*)'
    rb'\}(,"status":\{"phase":"Pending","qosClass":"\w+")\}\}',
    re.DOTALL,
)
_NODE_NAME, _GATES, _DELETED = b'"nodeName":', b'"schedulingGates":', b'"deletionTimestamp":'


def placed(record: Record, uid: str, node: str, now: float) -> bytes | None:
    """The stored value of the pod on its node; None unless it is new and, if a `uid` is said, that very one."""
    tail = record.tail
    if _NODE_NAME in tail or _GATES in tail or _DELETED in tail:
        return None
    found = _NEW.fullmatch(tail)
    if found is None:
        return None
    until_uid, said, until_spec, generation, status = found.groups()
    if (uid and uid.encode() != said) or not int(generation):
        return None
    condition = b'{"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"%b",' % (
        timestamp(now).encode()
    )
    return b'%b%b%b,"nodeName":%b}%b,"conditions":[%b"observedGeneration":%b}]}}' % (
        record.head, until_uid, until_spec, orjson.dumps(node), status, condition, generation,
    )  # fmt: skip
