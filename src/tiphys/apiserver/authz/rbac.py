"""
RBAC: who is bound to which rules.

The index follows the watch cache: bindings by subject and namespace, kept up one change at a time. What was decided is
kept by user, verb and resource until any RBAC object changes, so that a busy client costs one look-up a request. A kept
decision holds for every name of its resource, or is the set of names that are allowed.

Rejected: to walk all bindings for each request (a cluster has hundreds), and to key decisions by object name (a
client that reads ten thousand objects would push everything else out).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.apiserver.authz import rules
from tiphys.apiserver.authz.attributes import Access, quoted
from tiphys.apiserver.authz.rules import Rule
from tiphys.apiserver.call import Object, Reader
from tiphys.wire.messages import Identity

GROUP = "rbac.authorization.k8s.io"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
_BINDINGS = (("clusterrolebindings", True), ("rolebindings", False))
_ROOT = "/registry/"
_PREFIXES = tuple(f"{_ROOT}{name}/" for name in ("clusterroles", "clusterrolebindings", "roles", "rolebindings"))

SubjectKey = tuple[str, str]  # ("User" or "Group", name)
BindingKey = tuple[str, str]  # (namespace or "", name)


@dataclass(frozen=True, slots=True)
class Grant:
    """Rules that a user holds through a binding; `subject` is which of its subjects the user is."""

    binding: Object
    subject: Mapping[str, Any]
    rules: Sequence[Rule]


class RoleNotFound(Exception):
    """A binding speaks of a role that is not there."""


class UnknownRoleKind(Exception):
    """A binding speaks of something that is no role."""


class Rbac:
    """Answers from the Reader; `follow` must see every change of the cache that the Reader reads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._loaded = False
        # namespace ("" for cluster bindings) → subject → the bindings that name it
        self._by_subject: dict[str, dict[SubjectKey, set[str]]] = {}
        self._subjects: dict[BindingKey, tuple[SubjectKey, ...]] = {}
        self.generation = 0

    def follow(self, key: str) -> None:
        """A stored object changed."""
        if not key.startswith(_PREFIXES):
            return
        self.generation += 1
        collection, *rest = key[len(_ROOT) :].split("/")
        if self._loaded and collection == "rolebindings" and len(rest) == 2:
            self._index(rest[0], rest[1], self._reader.get(GROUP, collection, rest[0], rest[1]))
        elif self._loaded and collection == "clusterrolebindings":
            self._index("", rest[0], self._reader.get(GROUP, collection, "", rest[0]))

    def grants(self, user: Identity, namespace: str, problems: list[str] | None = None) -> Iterator[Grant]:
        """
        Every grant of a user that counts in a namespace, cluster-wide ones first. Roles that are missing are told to
        `problems`.
        """
        self._load()
        keys = [("User", user.name), *(("Group", group) for group in user.groups)]
        for scope in ("", namespace) if namespace else ("",):
            subjects = self._by_subject.get(scope)
            names = set().union(*(subjects.get(key, ()) for key in keys)) if subjects else ()
            for name in sorted(names):
                grant = self._grant(scope, name, frozenset(keys), problems)
                if grant is not None:
                    yield grant

    def rules_of(self, role_ref: Mapping[str, Any], namespace: str) -> Sequence[Rule]:
        """The rules of a role that a binding in `namespace` speaks of."""
        kind, name = role_ref.get("kind", ""), role_ref.get("name", "")
        if kind == "ClusterRole":
            role = self._reader.get(GROUP, "clusterroles", "", name)
        elif kind == "Role":
            role = self._reader.get(GROUP, "roles", namespace, name)
        else:
            raise UnknownRoleKind(f"unsupported role reference kind: {quoted(kind)}")
        if role is None:
            raise RoleNotFound(f"{kind.lower()}.{GROUP} {quoted(name)} not found")
        found: Sequence[Rule] = role.get("rules") or ()
        return found

    def held(self, user: Identity, namespace: str) -> list[Rule]:
        """All rules that a user holds in a namespace."""
        return [rule for grant in self.grants(user, namespace) for rule in grant.rules]

    def decide(self, access: Access) -> tuple[bool, str]:
        """(allowed, reason)."""
        problems: list[str] = []
        for grant in self.grants(access.user, access.namespace, problems):
            if any(rules.allows(rule, access) for rule in grant.rules):
                return True, "RBAC: " + _allowed_by(grant)
        unique = list(dict.fromkeys(problems))
        if not unique:
            return False, ""
        return False, "RBAC: " + (unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]")

    def names(self, access: Access) -> frozenset[str] | None:
        """Which names of a resource a user may access with a verb; None for all of them."""
        named: set[str] = set()
        for grant in self.grants(access.user, access.namespace):
            for rule in grant.rules:
                limited = rule.get("resourceNames")
                if not limited and rules.allows(rule, access):
                    return None
                if limited and rules.allows({**rule, "resourceNames": None}, access):
                    named.update(limited)
        return frozenset(named)

    def _grant(self, scope: str, name: str, keys: frozenset[SubjectKey], problems: list[str] | None) -> Grant | None:
        binding = self._reader.get(GROUP, "rolebindings" if scope else "clusterrolebindings", scope, name)
        if binding is None:
            return None
        subject = next((s for s in binding.get("subjects") or () if _subject_key(s, scope) in keys), None)
        if subject is None:
            return None
        try:
            return Grant(binding, subject, self.rules_of(binding["roleRef"], scope))
        except (RoleNotFound, UnknownRoleKind) as error:
            if problems is not None:
                problems.append(str(error))
            return None

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for collection, _ in _BINDINGS:
            for binding in self._reader.list(GROUP, collection):
                metadata = binding["metadata"]
                self._index(metadata.get("namespace", ""), metadata["name"], binding)

    def _index(self, scope: str, name: str, binding: Object | None) -> None:
        """Replace what is known of one binding; None forgets it."""
        subjects = self._by_subject.setdefault(scope, {})
        for key in self._subjects.pop((scope, name), ()):
            there = subjects[key]
            there.discard(name)
            if not there:
                del subjects[key]
        if binding is not None:
            keys = tuple({_subject_key(subject, scope) for subject in binding.get("subjects") or ()})
            self._subjects[scope, name] = keys
            for key in keys:
                subjects.setdefault(key, set()).add(name)
        if not subjects:
            del self._by_subject[scope]


def _subject_key(subject: Mapping[str, Any], scope: str) -> SubjectKey:
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        return "User", f"{SERVICE_ACCOUNT_PREFIX}{subject.get('namespace') or scope}:{name}"
    return kind, name


def _allowed_by(grant: Grant) -> str:
    binding, subject = grant.binding, grant.subject
    metadata, role = binding["metadata"], binding["roleRef"]
    namespace = metadata.get("namespace", "")
    name = f"{metadata['name']}/{namespace}" if namespace else metadata["name"]
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    who = subject["name"]
    if subject["kind"] == "ServiceAccount":
        who = f"{who}/{subject.get('namespace') or namespace}"
    return (
        f"allowed by {kind} {quoted(name)} of {role['kind']} {quoted(role['name'])} to {subject['kind']} {quoted(who)}"
    )
