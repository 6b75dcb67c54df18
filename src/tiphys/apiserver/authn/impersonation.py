"""
Acting as somebody else: the Impersonate- headers, and who may.

Two ways lead there, as in Kubernetes 1.36. The constrained one needs the right to be that somebody
(`impersonate:user-info`) and the right to do this very thing as somebody else (`impersonate-on:user-info:list` on
what is asked). The older one needs `impersonate` on each of user, groups, uid and extra, and then allows everything
that they may do. A refusal tells what the constrained way lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

from tiphys.api import errors
from tiphys.apiserver.authn import groups as known
from tiphys.apiserver.authz.attributes import Access, forbidden, of_call, quoted
from tiphys.apiserver.call import Call
from tiphys.wire.messages import Identity

USER, GROUP, UID, EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
_PREFIX = "impersonate-"
AUTHENTICATION = "authentication.k8s.io"
_NODE_NAME = "authentication.kubernetes.io/node-name"

# Whether an access is allowed, and why not.
Decide = Callable[[Access], tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the headers ask for."""

    name: str
    groups: tuple[str, ...]
    uid: str
    extra: Mapping[str, tuple[str, ...]]


class Impersonator:
    """The Impersonator door."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide

    async def impersonate(self, call: Call) -> Identity:
        """See the Impersonator door."""
        headers = call.request.headers
        for name in headers:
            if name.startswith(_PREFIX):
                break
        else:
            return call.user
        wanted = wanted_of(headers)
        if wanted is None:
            return call.user
        target = of_call(call)
        refusal: errors.StatusError | None = None
        for way in _ways(call.user, wanted, target):
            denied = self._first_denied(way)
            if denied is None:
                return identity_of(wanted)
            refusal = refusal or denied
        assert refusal is not None
        raise refusal

    def _first_denied(self, way: Sequence[Access]) -> errors.StatusError | None:
        for access in way:
            allowed, reason = self._decide(access)
            if not allowed:
                return forbidden(access, reason)
        return None


def wanted_of(headers: Mapping[str, str]) -> Wanted | None:
    """None if the headers ask for nothing; 400 for groups, uid or extra without a user."""
    extra: dict[str, tuple[str, ...]] = {}
    for name, value in headers.items():
        if name.startswith(EXTRA):
            extra[unquote(name[len(EXTRA) :]).lower()] = _values(value)
    wanted = Wanted(headers.get(USER, ""), _values(headers.get(GROUP, "")), headers.get(UID, ""), extra)
    if wanted.name:
        return wanted
    if not (wanted.groups or wanted.uid or wanted.extra):
        return None
    raise errors.bad_request(f"requested {_as_go(wanted)} without impersonating a user name")


def _values(header: str) -> tuple[str, ...]:
    """The values of a header that may come several times; the wire joins them."""
    return tuple(value for value in header.split(", ") if value) if header else ()


def _as_go(wanted: Wanted) -> str:
    """As Go's %#v prints the user."""
    groups = f"[]string{{{', '.join(map(quoted, wanted.groups))}}}" if wanted.groups else "[]string(nil)"
    items = (f"{quoted(key)}:[]string{{{', '.join(map(quoted, values))}}}" for key, values in sorted(_items(wanted)))
    extra = f"map[string][]string{{{', '.join(items)}}}" if wanted.extra else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{quoted(wanted.uid)}, Groups:{groups}, Extra:{extra}}}'


def _items(wanted: Wanted) -> list[tuple[str, tuple[str, ...]]]:
    return list(wanted.extra.items())


def identity_of(wanted: Wanted) -> Identity:
    """Who is acted as. Groups that follow from the name are added unless others are asked for."""
    groups = wanted.groups
    account = known.account_of(wanted.name)
    if not groups and account is not None:
        groups = known.account_groups(account[0])
    if wanted.name == known.ANONYMOUS_NAME:
        if known.UNAUTHENTICATED not in groups:
            groups = (*groups, known.UNAUTHENTICATED)
    elif known.AUTHENTICATED not in groups and known.UNAUTHENTICATED not in groups:
        groups = (*groups, known.AUTHENTICATED)
    return Identity(wanted.name, groups, wanted.uid, wanted.extra)


def _ways(user: Identity, wanted: Wanted, target: Access) -> Iterator[list[Access]]:
    """What each way of impersonating needs, the most constrained first."""
    account = known.account_of(wanted.name)
    is_plain = not (wanted.groups or wanted.uid or wanted.extra)
    node = wanted.name.removeprefix(known.NODE_PREFIX) if wanted.name.startswith(known.NODE_PREFIX) else ""
    if node and set(wanted.groups) <= {known.NODES}:
        if user.extra.get(_NODE_NAME) == (node,):
            yield [_on(user, "associated-node", target), _as(user, "associated-node", "nodes", "*")]
        yield [_on(user, "arbitrary-node", target), _as(user, "arbitrary-node", "nodes", node)]
    elif account is not None and is_plain:
        be = replace(_as(user, "serviceaccount", "serviceaccounts", account[1]), namespace=account[0])
        yield [_on(user, "serviceaccount", target), be]
    elif account is None and not node:
        yield [_on(user, "user-info", target), *_user_info(user, wanted, "impersonate:user-info", AUTHENTICATION)]
    yield _legacy(user, wanted, account)


def _on(user: Identity, mode: str, target: Access) -> Access:
    return replace(target, user=user, verb=f"impersonate-on:{mode}:{target.verb}")


def _as(user: Identity, mode: str, resource: str, name: str) -> Access:
    return Access(user, f"impersonate:{mode}", AUTHENTICATION, "v1", resource, name=name)


def _legacy(user: Identity, wanted: Wanted, account: tuple[str, str] | None) -> list[Access]:
    needed = _user_info(user, wanted, "impersonate", "")
    if account is not None:
        needed[0] = Access(user, "impersonate", "", "v1", "serviceaccounts", "", account[0], account[1])
    return needed


def _user_info(user: Identity, wanted: Wanted, verb: str, group: str) -> list[Access]:
    """One access for the user, and one for each group, the uid and each value of the extra."""
    found = [Access(user, verb, group, "v1", "users", name=wanted.name)]
    found += [Access(user, verb, group, "v1", "groups", name=name) for name in wanted.groups]
    if wanted.uid:
        found.append(Access(user, verb, AUTHENTICATION, "v1", "uids", name=wanted.uid))
    for key, values in wanted.extra.items():
        found += [Access(user, verb, AUTHENTICATION, "v1", "userextras", key, name=value) for value in values]
    return found
