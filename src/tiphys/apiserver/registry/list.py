"""
LIST: the records of a scope, whole or in pages, now or at a revision.

Pages after the first show the state of the first: today's records with the changes since then undone. The changes come
from the cache; a revision that it no longer covers is asked of the store, and when that has compacted it too the client
is told with a token that goes on inconsistently.
"""

from __future__ import annotations

import base64
import binascii
import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from tiphys.api import errors
from tiphys.apiserver import answers
from tiphys.apiserver.bodies import Question
from tiphys.apiserver.cache import Collection, too_large_revision
from tiphys.apiserver.call import Call, Object
from tiphys.apiserver.negotiation import PLAIN, Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import Record
from tiphys.apiserver.registry.options import ListOptions, list_options
from tiphys.apiserver.routing import Route
from tiphys.store.door import Compacted
from tiphys.wire.messages import Response

TOKEN_VERSION = "meta.k8s.io/v1"
_TOO_OLD_TOKEN = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
_TOO_OLD_VERSION = "The resourceVersion for the provided list is too old."


@dataclass(frozen=True, slots=True)
class Listing:
    """
    `remaining` counts what follows the page; None if it was not counted (a selector) or nothing follows. `question` is
    what the records of today answer, where somebody else may ask the same.
    """

    records: Sequence[Record]
    revision: int
    token: str = ""
    remaining: int | None = None
    question: Question | None = None

    @property
    def metadata(self) -> Object:
        metadata: Object = {"resourceVersion": str(self.revision)}
        if self.token:
            metadata["continue"] = self.token
        if self.remaining is not None:
            metadata["remainingItemCount"] = self.remaining
        return metadata


async def list_(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """Answer a list."""
    assert call.resource is not None
    found = await listing(parts, call, route, list_options(call.resource, route.query))
    if found.question is not None and form is PLAIN and not route.converts:
        return answers.kept_list(call, parts.cache.bodies, found.question, found.records, found.metadata)
    return answers.of_list(call, found.records, found.metadata, form)


async def listing(parts: Parts, call: Call, route: Route, options: ListOptions) -> Listing:
    """The records that a list shows."""
    assert call.resource is not None
    cache = parts.cache
    if cache.revision < parts.store.revision:
        await cache.caught_up()
    collection = cache.collection(call.resource)
    if options.continue_token:
        return await _continued(parts, collection, route, options)
    if options.revision:
        await cache.not_older_than(options.revision)
    if options.exact and options.revision and collection.modified > options.revision:
        page = _Page(route.key, "", options.revision, options.limit, options.selects)
        return await _past(parts, collection, page, _TOO_OLD_VERSION)
    revision = options.revision if options.exact and options.revision else cache.revision
    return present(collection, _Page(route.key, "", revision, options.limit, options.selects))


@dataclass(frozen=True, slots=True)
class _Page:
    """What one page asks for: keys under `prefix` greater than `after`, as of `revision`."""

    prefix: str
    after: str
    revision: int
    limit: int
    selects: Callable[[Record], bool] | None


def present(collection: Collection, page: _Page) -> Listing:
    """A page of what the collection holds now."""
    low, high = collection.span(page.prefix, page.after)
    if page.selects is not None:
        return _selected(collection.records[low:high], page)
    question = Question(page.prefix, page.after, page.limit, collection.modified)
    if page.limit and high - low > page.limit:
        records = collection.records[low : low + page.limit]
        token = encode_token(page.prefix, records[-1].key, page.revision)
        return Listing(records, page.revision, token, high - low - page.limit, question)
    return Listing(collection.records[low:high], page.revision, question=question)


def _selected(records: Sequence[Record], page: _Page) -> Listing:
    selects = page.selects
    assert selects is not None
    found: list[Record] = []
    for index, record in enumerate(records):
        if selects(record):
            found.append(record)
            if page.limit and len(found) == page.limit and index + 1 < len(records):
                return Listing(found, page.revision, encode_token(page.prefix, record.key, page.revision))
    return Listing(found, page.revision)


async def _past(parts: Parts, collection: Collection, page: _Page, too_old: str) -> Listing:
    """A page as of an earlier revision."""
    if page.revision >= collection.since:
        records = _undone(collection, page)
    else:
        records = await _from_store(parts, page, too_old)
    if page.selects is not None:
        return _selected(records, page)
    if page.limit and len(records) > page.limit:
        shown = records[: page.limit]
        token = encode_token(page.prefix, shown[-1].key, page.revision)
        return Listing(shown, page.revision, token, len(records) - page.limit)
    return Listing(records, page.revision)


def _undone(collection: Collection, page: _Page) -> list[Record]:
    """Today's records of the page's range with the changes after its revision taken back."""
    undo: dict[str, Record | None] = {}
    for change in reversed(collection.changes_after(page.revision)):
        undo[change.record.key] = change.previous
    low, high = collection.span(page.prefix, page.after)
    keys, records = collection.keys[low:high], collection.records[low:high]
    for key, before in undo.items():
        if key.startswith(page.prefix) and key > page.after:
            _put(keys, records, key, before)
    return records


def _put(keys: list[str], records: list[Record], key: str, record: Record | None) -> None:
    index = bisect.bisect_left(keys, key)
    there = index < len(keys) and keys[index] == key
    if there and record is None:
        del keys[index], records[index]
    elif there and record is not None:
        records[index] = record
    elif record is not None:
        keys.insert(index, key)
        records.insert(index, record)


async def _from_store(parts: Parts, page: _Page, too_old: str) -> list[Record]:
    try:
        found = await parts.store.list(page.prefix, revision=page.revision, after=page.after)
    except Compacted:
        raise _expired(page, too_old) from None
    opened = (
        (e.key, parts.sealer.open(e.key, e.value) if not e.value.startswith(b"{") else e.value, e.revision)
        for e in found.entries
    )
    return [Record(*entry) for entry in opened]


def _expired(page: _Page, text: str) -> errors.StatusError:
    error = errors.expired(text)
    if page.after:
        error.status["metadata"] = {"continue": encode_token(page.prefix, page.after, -1)}
    return error


async def _continued(parts: Parts, collection: Collection, route: Route, options: ListOptions) -> Listing:
    if options.revision_text and options.revision_text != "0":
        raise errors.bad_request("specifying resource version is not allowed when using continue")
    revision, start = decode_token(options.continue_token)
    after = route.key + start.removesuffix("\0")
    if revision > parts.cache.revision:
        raise too_large_revision(revision, parts.cache.revision)
    if revision < 0 or collection.modified <= revision:
        at = parts.cache.revision if revision < 0 else revision
        return present(collection, _Page(route.key, after, at, options.limit, options.selects))
    return await _past(
        parts, collection, _Page(route.key, after, revision, options.limit, options.selects), _TOO_OLD_TOKEN
    )


def encode_token(prefix: str, last_key: str, revision: int) -> str:
    """An opaque token that says where the next page starts and as of when."""
    token = {"v": TOKEN_VERSION, "rv": revision, "start": last_key[len(prefix) :] + "\0"}
    return base64.urlsafe_b64encode(orjson.dumps(token)).rstrip(b"=").decode()


def decode_token(text: str) -> tuple[int, str]:
    """(revision, start); 400 for a token that nobody made here."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _bad_token(f"illegal base64 data at input byte {_first_bad_byte(text)}") from None
    try:
        token = orjson.loads(raw)
        version, revision, start = token.get("v"), token.get("rv", 0), token.get("start", "")
    except (orjson.JSONDecodeError, AttributeError):
        raise _bad_token(_json_complaint(raw)) from None
    if version != TOKEN_VERSION:
        raise _bad_token(f"server does not recognize this encoded version {version}")
    if not isinstance(revision, int) or not isinstance(start, str):
        raise _bad_token("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if revision == 0:
        raise _bad_token("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not start:
        raise _bad_token("encoded start key empty (version meta.k8s.io/v1)")
    if ".." in start.split("/") or start.startswith("/"):
        raise _bad_token(f'"{start}"')
    return revision, start


def _bad_token(why: str) -> errors.StatusError:
    return errors.bad_request(f"invalid continue token: continue key is not valid: {why}")


def _first_bad_byte(text: str) -> int:
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    return next((index for index, character in enumerate(text) if character not in allowed), len(text))


def _json_complaint(raw: bytes) -> str:
    if not raw:
        return "unexpected end of JSON input"
    character = chr(raw[0])
    quoted = f"\\u{raw[0]:04x}" if raw[0] < 0x20 or raw[0] >= 0x7F else character
    return f"invalid character '{quoted}' looking for beginning of value"
