"""The metadata that the server owns: uid, times, generated names, and what an update may not change."""

from __future__ import annotations

import os
import random

from tiphys.api import errors
from tiphys.api.objects import timestamp
from tiphys.api.resources import Resource
from tiphys.apiserver.call import Object

# Kubernetes' alphabet for generated names: no vowels, so no words; no look-alikes.
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_SUFFIXES = len(_SUFFIX_ALPHABET) ** _SUFFIX_LENGTH
_PAIRS = tuple(one + other for one in _SUFFIX_ALPHABET for other in _SUFFIX_ALPHABET)
# The kernel is asked for the randomness of many uids at once: a call for each would cost more than all else here.
_UIDS_AT_ONCE, _UID_BYTES = 256, 16
_entropy: list[str] = []
NAME_LENGTH_MAX = 63
GENERATE_TRIES_MAX = 8


def generated_name(prefix: str) -> str:
    """The prefix, cut so that the whole fits a DNS label, and a random suffix."""
    return prefix[: NAME_LENGTH_MAX - _SUFFIX_LENGTH] + random_suffix()


def random_suffix() -> str:
    """Five random characters; they need to be different, not to be secret."""
    number = int(random.random() * _SUFFIXES)
    number, last = divmod(number, len(_SUFFIX_ALPHABET))
    one, other = divmod(number, len(_PAIRS))
    return _PAIRS[one] + _PAIRS[other] + _SUFFIX_ALPHABET[last]


def new_uid() -> str:
    """A random UUID (version 4)."""
    if not _entropy:
        fresh = os.urandom(_UIDS_AT_ONCE * _UID_BYTES).hex()
        _entropy.extend(fresh[start : start + 2 * _UID_BYTES] for start in range(0, len(fresh), 2 * _UID_BYTES))
    digits = _entropy.pop()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def wipe(obj: Object) -> None:
    """Take what the server alone says out of an object that a client posts."""
    for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        obj["metadata"].pop(name, None)


def fill_new(obj: Object, now: float) -> None:
    """What every new object gets, whatever the client said."""
    metadata = obj["metadata"]
    metadata["uid"] = new_uid()
    metadata["creationTimestamp"] = timestamp(now)
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        metadata.pop(name, None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generated_name(metadata["generateName"])


def fill_updated(obj: Object, old: Object) -> None:
    """What an update keeps when the client leaves it out, or has no say in."""
    metadata, before = obj["metadata"], old["metadata"]
    for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if not metadata.get(name) and name in before:
            metadata[name] = before[name]
    metadata.pop("selfLink", None)
    if "generation" in before:
        metadata["generation"] = before["generation"]
    else:
        metadata.pop("generation", None)


def drop_repeated_owners(obj: Object, warnings: list[str]) -> None:
    """An owner that is named twice in the same words is named once, and the writer is told."""
    owners = obj["metadata"].get("ownerReferences")
    if not owners or len(owners) < 2:
        return
    repeated = [owner for index, owner in enumerate(owners) if owner in owners[:index]]
    if not repeated:
        return
    obj["metadata"]["ownerReferences"] = [owner for index, owner in enumerate(owners) if owner not in owners[:index]]
    uids = ", ".join(dict.fromkeys(owner.get("uid", "") for owner in repeated))
    warnings.append(
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may "
        f"reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {uids}"
    )


def check_namespace(resource: Resource, obj: Object, namespace: str) -> None:
    """The object belongs to the namespace of the path, and says so afterwards."""
    metadata = obj["metadata"]
    if not resource.namespaced:
        metadata.pop("namespace", None)
        return
    said = metadata.get("namespace", "")
    if said and said != namespace:
        text = "the namespace of the provided object does not match the namespace sent on the request"
        raise errors.bad_request(text)
    metadata["namespace"] = namespace


def check_name(obj: Object, name: str) -> None:
    """The object has the name of the path."""
    said = obj["metadata"].get("name", "")
    if not said:
        why = "name must be provided"
        raise errors.bad_request(f"the name of the object ({name} based on URL) was undeterminable: {why}")
    if said != name:
        raise errors.bad_request(f"the name of the object ({said}) does not match the name on the URL ({name})")
