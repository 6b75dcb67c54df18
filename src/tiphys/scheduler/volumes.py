"""
Claims, volumes, classes: what the scheduler knows of storage, and what it has promised but not yet written.

A volume that one pod's claim was matched with is taken for the next pod before the API says so, as a placed pod is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import annotations_of
from tiphys.api.quantity import value
from tiphys.api.selectors import from_label_selector
from tiphys.scheduler.ledger import Ledger
from tiphys.scheduler.node_mask import NodeMasks
from tiphys.scheduler.world import World

Object = dict[str, Any]
Key = tuple[str, str]

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
# Phases in which a volume is no longer given to a claim.
SPOKEN_FOR = ("Bound", "Released", "Failed")
NO_PROVISIONER = "kubernetes.io/no-provisioner"


@dataclass(frozen=True, slots=True)
class Choice:
    """For one unbound claim: the volume it gets, or None if one is to be made."""

    key: Key
    claim: Object
    volume: Object | None


class Volumes:
    """The storage objects by name. The scheduler's handlers keep them."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self.world = world
        self.ledger = ledger
        self.masks = NodeMasks(world.table, world.topology)
        self.claims: dict[Key, Object] = {}
        self.classes: dict[str, Object] = {}
        self.drivers: dict[str, Object] = {}
        self.capacities: dict[Key, Object] = {}
        self._volumes: dict[str, Object] = {}
        self._available: defaultdict[str, dict[str, Object]] = defaultdict(dict)
        # Promised: volume → claim, claim → node.
        self.reserved: dict[str, Key] = {}
        self.selected: dict[Key, str] = {}

    def volume(self, name: str) -> Object | None:
        return self._volumes.get(name)

    def put_volume(self, volume: Object) -> None:
        name = volume["metadata"]["name"]
        self.remove_volume(name)
        self._volumes[name] = volume
        phase = (volume.get("status") or {}).get("phase")
        if phase == "Available" or (volume["spec"].get("claimRef") and phase not in SPOKEN_FOR):
            self._available[class_of(volume)][name] = volume

    def remove_volume(self, name: str) -> None:
        held = self._volumes.pop(name, None)
        if held is not None:
            self._available[class_of(held)].pop(name, None)

    # questions

    def is_bound(self, claim: Object) -> bool:
        """Bound for good: it has its volume, and the controller has said so."""
        return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in annotations_of(claim)

    def waits_for_pod(self, claim: Object) -> bool:
        """Whether the claim is bound when its first pod has a node."""
        found = self.classes.get(class_of(claim))
        waits = found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"
        return waits and not claim["spec"].get("volumeName")

    def provisions(self, claim: Object) -> bool:
        """Whether a volume can be made for the claim."""
        found = self.classes.get(class_of(claim))
        return found is not None and found.get("provisioner", "") not in ("", NO_PROVISIONER)

    def topologies(self, claim: Object) -> list[Object]:
        """Where its class makes volumes, as node selector terms; empty is everywhere."""
        found = self.classes.get(class_of(claim)) or {}
        return [
            {"matchExpressions": [{**e, "operator": "In"} for e in term.get("matchLabelExpressions") or ()]}
            for term in found.get("allowedTopologies") or ()
        ]

    def space_for(self, claim: Object) -> list[Object] | None:
        """
        Where there is space for a volume of the claim, as label selectors of nodes; None if its driver does not say how
        much it has.
        """
        name = class_of(claim)
        driver = self.drivers.get((self.classes.get(name) or {}).get("provisioner", ""))
        if driver is None or not driver["spec"].get("storageCapacity"):
            return None
        asked = _asked(claim)
        return [
            held["nodeTopology"]
            for held in self.capacities.values()
            if held.get("storageClassName") == name
            and held.get("nodeTopology") is not None
            and value(str(held.get("maximumVolumeSize") or held.get("capacity") or "0")) >= asked
        ]

    def selected_node(self, key: Key, claim: Object) -> str:
        """The node that a claim is being provisioned for; "" if that is open."""
        return self.selected.get(key) or annotations_of(claim).get(SELECTED_NODE, "")

    def driver_of(self, key: Key) -> str | None:
        """The CSI driver of a claim's volume, or of the one it will have."""
        claim = self.claims.get(key)
        if claim is None:
            return None
        volume = self._volumes.get(claim["spec"].get("volumeName") or "")
        if volume is not None:
            return (volume["spec"].get("csi") or {}).get("driver")
        found = self.classes.get(class_of(claim))
        return found.get("provisioner") if found is not None else None

    def fitting(self, key: Key, claim: Object) -> list[Object]:
        """The volumes that a claim may be bound to, the best first: those made for it, then the smallest."""
        held = [v for v in self._available[class_of(claim)].values() if self._fits(key, claim, v)]

        def rank(volume: Object) -> tuple[bool, int, str]:
            name = volume["metadata"]["name"]
            return not volume["spec"].get("claimRef") and name not in self.reserved, _capacity(volume), name

        return sorted(held, key=rank)

    def _fits(self, key: Key, claim: Object, volume: Object) -> bool:
        spec, wanted = volume["spec"], claim["spec"]
        if self.reserved.get(volume["metadata"]["name"], key) != key or "deletionTimestamp" in volume["metadata"]:
            return False
        said = spec.get("claimRef")
        if said and ((said.get("namespace"), said.get("name")) != key or _other(said.get("uid"), claim)):
            return False
        return (
            (spec.get("volumeMode") or "Filesystem") == (wanted.get("volumeMode") or "Filesystem")
            and set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ())
            and _capacity(volume) >= _asked(claim)
            and spec.get("volumeAttributesClassName") == wanted.get("volumeAttributesClassName")
            and (not wanted.get("selector") or from_label_selector(wanted["selector"]).matches(_labels(volume)))
        )

    # promises

    def promise(self, choices: Iterable[Choice], node: str) -> None:
        """These volumes and this node are taken for these claims."""
        for choice in choices:
            if choice.volume is not None:
                self.reserved[choice.volume["metadata"]["name"]] = choice.key
            else:
                self.selected[choice.key] = node

    def withdraw(self, choices: Iterable[Choice]) -> None:
        """It did not come to it, or the objects say it themselves now."""
        for choice in choices:
            if choice.volume is not None:
                self.reserved.pop(choice.volume["metadata"]["name"], None)
            else:
                self.selected.pop(choice.key, None)


def class_of(obj: Object) -> str:
    """The storage class of a claim or of a volume."""
    return str(annotations_of(obj).get(CLASS_ANNOTATION) or obj["spec"].get("storageClassName") or "")


def _capacity(volume: Object) -> int:
    return value(str((volume["spec"].get("capacity") or {}).get("storage", "0")))


def _asked(claim: Object) -> int:
    return value(str(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")))


def _labels(volume: Object) -> dict[str, str]:
    return volume["metadata"].get("labels") or {}


def _other(uid: str | None, claim: Object) -> bool:
    return bool(uid) and uid != claim["metadata"].get("uid")
