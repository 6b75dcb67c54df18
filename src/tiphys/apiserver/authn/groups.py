"""The users and groups that Kubernetes itself gives a meaning to, and how names are made."""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.wire.messages import Identity

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"
NODES = "system:nodes"
ANONYMOUS_NAME = "system:anonymous"
NODE_PREFIX = "system:node:"
ACCOUNT_PREFIX = "system:serviceaccount:"
ACCOUNTS = "system:serviceaccounts"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

ANONYMOUS = Identity(ANONYMOUS_NAME, (UNAUTHENTICATED,))


def with_authenticated(groups: Sequence[str]) -> tuple[str, ...]:
    """The groups of somebody who is known."""
    return tuple(groups) if AUTHENTICATED in groups else (*groups, AUTHENTICATED)


def account_name(namespace: str, name: str) -> str:
    """The user name of a service account."""
    return f"{ACCOUNT_PREFIX}{namespace}:{name}"


def account_groups(namespace: str) -> tuple[str, str]:
    """The groups of a namespace's service accounts."""
    return ACCOUNTS, f"{ACCOUNTS}:{namespace}"


def account_of(user: str) -> tuple[str, str] | None:
    """(namespace, name) if the user is a service account."""
    namespace, separator, name = user.removeprefix(ACCOUNT_PREFIX).partition(":")
    if not user.startswith(ACCOUNT_PREFIX) or not separator or not namespace or not name or ":" in name:
        return None
    return namespace, name


def node_of(user: Identity) -> str:
    """The node's name if the user is a node agent (by name and by group), else empty."""
    if not user.name.startswith(NODE_PREFIX) or NODES not in user.groups:
        return ""
    return user.name[len(NODE_PREFIX) :]
