"""
The options of each verb, read from the query (and for deletes from the body), checked as Kubernetes checks them.

A number that is none is a 400; a value that is not allowed is a 422 on `ListOptions.meta.k8s.io` and its sisters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from tiphys.api import errors, selectors
from tiphys.api.remembered import remember_short
from tiphys.api.resources import Resource
from tiphys.apiserver import fields
from tiphys.apiserver.call import Object
from tiphys.apiserver.records import Record
from tiphys.apiserver.routing import is_true

Query = Mapping[str, Sequence[str]]
META_GROUP = "meta.k8s.io"
_FIELD_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
FIELD_MANAGER_LENGTH_MAX = 128


@dataclass(frozen=True, slots=True)
class Problem:
    """One refused option."""

    reason: str
    field: str
    text: str


def refuse(kind: str, problems: Sequence[Problem]) -> errors.StatusError:
    """422 on the options record: `ListOptions.meta.k8s.io "" is invalid: …`."""
    causes = [{"reason": p.reason, "message": p.text, "field": p.field} for p in problems]
    return errors.invalid(kind, META_GROUP, "", [f"{p.field}: {p.text}" for p in problems], causes)


def first(query: Query, name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""


def integer(query: Query, name: str) -> int:
    """A whole number, 0 if absent; 400 with Go's words otherwise."""
    text = first(query, name)
    if not text:
        return 0
    try:
        return int(text)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def parse_revision(text: str) -> int:
    """ValueError with Kubernetes' text for anything but an unsigned number; empty is 0."""
    if text and not (text.isascii() and text.isdigit()):
        raise ValueError(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text or "0")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """
    `selects` is None if everything is wanted; `revision_text` is as sent, since "" and "0" differ.

    `node_name` is set if exactly the pods of one node are wanted.
    """

    selects: Callable[[Record], bool] | None
    revision_text: str
    revision: int
    match: str
    limit: int
    continue_token: str
    timeout_seconds: int
    bookmarks: bool
    send_initial_events: bool | None
    node_name: str = ""

    @property
    def exact(self) -> bool:
        """A page at a revision is exact even if nobody says so."""
        return self.match == "Exact" or (not self.match and self.limit > 0 and self.revision > 0)


_PLAIN_LIST = ListOptions(None, "", 0, "", 0, "", 0, False, None)


def list_options(resource: Resource, query: Query, *, watch: bool = False) -> ListOptions:
    """The options of a list or watch."""
    if not query and not watch:
        return _PLAIN_LIST
    limit, timeout = integer(query, "limit"), integer(query, "timeoutSeconds")
    selects = selection(resource, first(query, "labelSelector"), first(query, "fieldSelector"))
    initial = is_true(query, "sendInitialEvents") if "sendInitialEvents" in query else None
    match, text = first(query, "resourceVersionMatch"), first(query, "resourceVersion")
    token = first(query, "continue")
    problems = _problems(match, text, token, initial, watch=watch)
    if problems:
        raise refuse("ListOptions", problems)
    try:
        revision = parse_revision(text)
    except ValueError as error:
        raise errors.bad_request(f"invalid resource version: {error}" if not watch else str(error)) from None
    bookmarks = is_true(query, "allowWatchBookmarks")
    return ListOptions(
        selects, text, revision, match, max(limit, 0), token, timeout, bookmarks, initial, _node_name(resource, query)
    )


def _node_name(resource: Resource, query: Query) -> str:
    """The node whose pods alone are wanted: what every node agent asks, so it is looked up and not tried."""
    field = first(query, "fieldSelector")
    if resource.name == "pods" and field.startswith("spec.nodeName=") and "," not in field:
        return field.removeprefix("spec.nodeName=").removeprefix("=")
    return ""


def _problems(match: str, text: str, token: str, initial: bool | None, *, watch: bool) -> list[Problem]:
    if initial is not None and not watch:
        return [_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")]
    if initial is not None and watch:
        if match != "NotOlderThan":
            why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            return [_forbidden("resourceVersionMatch", why)]
        return []
    if not match:
        return []
    if watch:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        return [_forbidden("resourceVersionMatch", why)]
    return _match_problems(match, text, token)


def _match_problems(match: str, text: str, token: str) -> list[Problem]:
    name, problems = "resourceVersionMatch", []
    if not text:
        problems.append(_forbidden(name, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
    if token:
        problems.append(_forbidden(name, "resourceVersionMatch is forbidden when continue is provided"))
    if match not in ("Exact", "NotOlderThan"):
        supported = 'supported values: "Exact", "NotOlderThan", ""'
        problems.append(Problem("FieldValueNotSupported", name, f'Unsupported value: "{match}": {supported}'))
    if match == "Exact" and text == "0":
        problems.append(_forbidden(name, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    return problems


def _forbidden(name: str, why: str) -> Problem:
    return Problem("FieldValueForbidden", name, f"Forbidden: {why}")


@remember_short(4096)
def selection(resource: Resource, label_text: str, field_text: str) -> Callable[[Record], bool] | None:
    """A predicate on records for both selectors; 400 for one that cannot be read."""
    by_labels = label_predicate(label_text)
    by_fields = field_predicate(resource, field_text)
    if by_labels is None:
        return by_fields
    if by_fields is None:
        return by_labels
    return lambda record: by_labels(record) and by_fields(record)


def label_predicate(text: str) -> Callable[[Record], bool] | None:
    if not text:
        return None
    try:
        selector = selectors.parse_labels(text)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    return lambda record: selector.matches(record.labels)


def field_predicate(resource: Resource, text: str) -> Callable[[Record], bool] | None:
    if not text:
        return None
    try:
        requirements = selectors.parse_fields(text)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    if not requirements:
        return None
    matches = fields.compile_fields(resource, requirements)
    return lambda record: matches(record.peek())


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What create, update and patch share. `kind` is CreateOptions, UpdateOptions or PatchOptions."""

    kind: str
    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool | None = None

    def as_object(self) -> Object:
        """As admission sees them."""
        options: Object = {"kind": self.kind, "apiVersion": "meta.k8s.io/v1"}
        if self.dry_run:
            options["dryRun"] = ["All"]
        if self.field_manager:
            options["fieldManager"] = self.field_manager
        options["fieldValidation"] = self.field_validation
        return options


def write_options(kind: str, query: Query) -> WriteOptions:
    """The options of a create, update or patch."""
    if not query:
        return WriteOptions(kind)
    dry_run = list(query.get("dryRun", ()))
    validation = first(query, "fieldValidation")
    manager = first(query, "fieldManager")
    problems = dry_run_problems(dry_run) + _manager_problems(manager)
    if validation not in _FIELD_VALIDATIONS:
        supported = 'supported values: "", "Ignore", "Strict", "Warn"'
        text = f'Unsupported value: "{validation}": {supported}'
        problems.append(Problem("FieldValueNotSupported", "fieldValidation", text))
    if problems:
        raise refuse(kind, problems)
    force = is_true(query, "force") if "force" in query else None
    return WriteOptions(kind, bool(dry_run), manager, validation or "Warn", force)


def dry_run_problems(values: Sequence[str]) -> list[Problem]:
    """Only `All` may be asked for."""
    if all(value == "All" for value in values):
        return []
    text = f'Unsupported value: {orjson.dumps(list(values)).decode()}: supported values: "All"'
    return [Problem("FieldValueNotSupported", "dryRun", text)]


def _manager_problems(manager: str) -> list[Problem]:
    problems = []
    if len(manager) > FIELD_MANAGER_LENGTH_MAX:
        text = f"Too long: may not be more than {FIELD_MANAGER_LENGTH_MAX} bytes"
        problems.append(Problem("FieldValueTooLong", "fieldManager", text))
    for index, character in enumerate(manager):
        if not character.isprintable():
            text = f"Invalid value: {orjson.dumps(manager).decode()}: character at index {index} is not printable"
            problems.append(Problem("FieldValueInvalid", "fieldManager", text))
    return problems
