"""
What a pod's claims ask of a node: where bound volumes are, where unbound ones can be had, and how many fit.

A claim of a class that waits for its first pod has no volume yet: the node is chosen so that a volume there fits it, or
can be made there. Which, is told by `choices_on` for the node that was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tiphys.scheduler.claims import claimed, has_claims
from tiphys.scheduler.nodes import Mask
from tiphys.scheduler.objections import Objection
from tiphys.scheduler.volumes import Choice, Volumes

Object = dict[str, Any]
Key = tuple[str, str]

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
IN_USE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
TOO_MANY = "node(s) exceed max volume count"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
ELSEWHERE = "node(s) had volume node affinity conflict"
NOTHING_TO_BIND = "node(s) didn't find available persistent volumes to bind"
NO_SPACE = "node(s) did not have enough free storage"
OTHER_ZONE = "node(s) had no available volume zone"

ZONE_LABELS = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)


def needs_of(volumes: Volumes, pod: Object) -> VolumeNeeds | None:
    """What the pod's claims need; None for a pod without."""
    if not has_claims(pod):
        return None
    used = list(claimed(pod))
    return VolumeNeeds(volumes, [key for key, _ in used], problem_of(volumes, pod, used))


def problem_of(volumes: Volumes, pod: Object, used: Sequence[tuple[Key, bool]]) -> str:
    """Why no node can take the pod, whatever it offers; "" if there is no such reason."""
    meta = pod["metadata"]
    for key, is_own in used:
        claim = volumes.claims.get(key)
        if claim is None and is_own:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{key[1]}"'
        if claim is None:
            return f'persistentvolumeclaim "{key[1]}" not found'
        if (claim.get("status") or {}).get("phase") == "Lost":
            missing = claim["spec"].get("volumeName", "")
            return f'persistentvolumeclaim "{key[1]}" bound to non-existent persistentvolume "{missing}"'
        if "deletionTimestamp" in claim["metadata"]:
            return f'persistentvolumeclaim "{key[1]}" is being deleted'
        if is_own and not any(o["uid"] == meta.get("uid") for o in claim["metadata"].get("ownerReferences") or ()):
            return f"PVC {key[0]}/{key[1]} was not created for pod {key[0]}/{meta['name']} (pod is not owner)"
    held = [volumes.claims[key] for key, _ in used]
    return "" if all(volumes.is_bound(c) or volumes.waits_for_pod(c) for c in held) else UNBOUND


class VolumeNeeds:
    """The needs of one pod. `problem` says that they cannot be met anywhere."""

    def __init__(self, volumes: Volumes, keys: Sequence[Key], problem: str) -> None:
        self._volumes = volumes
        self._keys = list(dict.fromkeys(keys))
        self.problem = problem
        held = [] if problem else [(key, volumes.claims[key]) for key in self._keys]
        self._bound = [(key, claim) for key, claim in held if volumes.is_bound(claim)]
        unbound = [(key, claim) for key, claim in held if not volumes.is_bound(claim)]
        self._fitting = [(key, claim, volumes.fitting(key, claim)) for key, claim in unbound]

    @property
    def has_choices(self) -> bool:
        """Whether something is to be bound or made before the pod is."""
        return bool(self._fitting)

    def objections(self) -> Iterator[Objection]:
        """The rows where the needs cannot be met, in Kubernetes' order."""
        volumes, rows = self._volumes, self._volumes.world.table.rows
        if any(volumes.ledger.is_used(key) for key in self._keys if self._is_for_one_pod(key)):
            yield Objection(IN_USE, np.ones(rows, dtype=np.bool_))
        if volumes.world.attached.is_limited:
            yield Objection(TOO_MANY, volumes.world.attached.too_many(self._keys, volumes.driver_of))
        held = [volumes.volume(claim["spec"]["volumeName"]) for _, claim in self._bound]
        if None in held:
            yield Objection(NO_VOLUME, np.ones(rows, dtype=np.bool_), curable=False)
        for volume in held:
            if volume is not None and (volume["spec"].get("nodeAffinity") or {}).get("required"):
                terms = volume["spec"]["nodeAffinity"]["required"].get("nodeSelectorTerms") or ()
                yield Objection(ELSEWHERE, ~volumes.masks.of(terms), curable=False)
        if self._fitting:
            yield Objection(NOTHING_TO_BIND, ~self._bindable(with_space=False), curable=False)
            if any(volumes.space_for(claim) is not None for _, claim, _ in self._fitting):
                yield Objection(NO_SPACE, ~self._bindable(with_space=True), curable=False)
        for volume in held:
            if volume is not None and (terms := _zones(volume)):
                yield Objection(OTHER_ZONE, ~self._in_zone(terms), curable=False)

    def choices_on(self, row: int, *, with_space: bool = True) -> list[Choice] | None:
        """A volume for each unbound claim on this row, or that it is to be made; None if that cannot be."""
        taken: set[str] = set()
        found: list[Choice] = []
        for key, claim, fitting in self._fitting:
            volume = None
            if not self._volumes.selected_node(key, claim):
                volume = next((v for v in fitting if v["metadata"]["name"] not in taken and self._at(v)[row]), None)
            if volume is None and not self._provisionable(key, claim, with_space=with_space)[row]:
                return None
            if volume is not None:
                taken.add(volume["metadata"]["name"])
            found.append(Choice(key, claim, volume))
        return found

    def _bindable(self, *, with_space: bool) -> Mask:
        """Rows on which every unbound claim gets a volume. Claims that could want the same one are tried row by row."""
        table = self._volumes.world.table
        rows: Mask = table.exists.copy()
        for key, claim, fitting in self._fitting:
            possible = self._provisionable(key, claim, with_space=with_space)
            if not self._volumes.selected_node(key, claim):
                for volume in fitting:
                    possible = possible | self._at(volume)
            rows &= possible
        if sum(bool(fitting) for _, _, fitting in self._fitting) > 1:
            for row in np.flatnonzero(rows).tolist():
                rows[row] = self.choices_on(row, with_space=with_space) is not None
        return rows

    def _provisionable(self, key: Key, claim: Object, *, with_space: bool) -> Mask:
        """Where a volume can be made; `with_space` where there is space for it, too, as far as its driver says."""
        volumes, table = self._volumes, self._volumes.world.table
        if not volumes.provisions(claim):
            return np.zeros(table.rows, dtype=np.bool_)
        selected = volumes.selected_node(key, claim)
        if selected:
            only: Mask = np.zeros(table.rows, dtype=np.bool_)
            if selected in table.row_of:
                only[table.row_of[selected]] = True
            return only
        terms = volumes.topologies(claim)
        rows = volumes.masks.of(terms) if terms else table.exists
        space = volumes.space_for(claim) if with_space else None
        return rows if space is None else rows & self._selected(space)

    def _selected(self, selectors: list[Object]) -> Mask:
        """The rows whose node one of the label selectors finds; an empty one finds all."""
        if any(not s.get("matchLabels") and not s.get("matchExpressions") for s in selectors):
            return self._volumes.world.table.exists
        return self._volumes.masks.of([_as_term(selector) for selector in selectors])

    def _at(self, volume: Object) -> Mask:
        required = (volume["spec"].get("nodeAffinity") or {}).get("required")
        if not required:
            return self._volumes.world.table.exists
        return self._volumes.masks.of(required.get("nodeSelectorTerms") or ())

    def _in_zone(self, terms: list[Object]) -> Mask:
        """A node that names no zone is in every zone."""
        found = self._volumes.masks.of(terms)
        labelled: Mask = np.zeros(len(found), dtype=np.bool_)
        for key in ZONE_LABELS:
            labelled |= self._volumes.world.topology.of(key).ids > 0
        return found | ~labelled

    def _is_for_one_pod(self, key: Key) -> bool:
        claim = self._volumes.claims.get(key)
        return claim is not None and "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ())


def _as_term(selector: Object) -> Object:
    """A label selector as a node selector term."""
    named = [{"key": k, "operator": "In", "values": [v]} for k, v in (selector.get("matchLabels") or {}).items()]
    return {"matchExpressions": named + list(selector.get("matchExpressions") or ())}


def _zones(volume: Object) -> list[Object]:
    """The zones that a volume's labels name, as node selector terms."""
    labels = volume["metadata"].get("labels") or {}
    named = [(key, labels[key]) for key in ZONE_LABELS if labels.get(key)]
    expressions = [{"key": key, "operator": "In", "values": value.split("__")} for key, value in named]
    return [{"matchExpressions": expressions}] if expressions else []
