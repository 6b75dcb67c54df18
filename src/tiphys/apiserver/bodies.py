"""
The bodies of lists that were answered lately, for whoever asks the same again.

Making one copies every record of the collection. While the collection stays as it is, its items stay the same bytes;
only the list's head moves, with the revision of the whole store. So what is kept is one body for each question, and
where its items begin: it is sent as it is, or copied once behind a new head.

Rejected: a body for each collection that is kept up to date with it. It would cost each write what only lists need.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from tiphys.apiserver.records import Record

# Of all bodies together: four lists of ten thousand small objects.
BYTES_MAX = 16 * 1024 * 1024

# With the brace of the first item: a record's tail has none.
_ITEMS = b',"items":[{'


@dataclass(frozen=True, slots=True)
class Question:
    """What is listed: keys under `prefix` after `after`, at most `limit`, of a collection changed at `modified`."""

    prefix: str
    after: str
    limit: int
    modified: int


@dataclass(frozen=True, slots=True)
class _Kept:
    modified: int
    head: bytes
    body: bytes


class Bodies:
    """The last ones that were asked for, up to BYTES_MAX."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, int], _Kept] = OrderedDict()
        self._bytes = 0

    def body(self, question: Question, head: bytes, records: Sequence[Record]) -> bytes:
        """The list's JSON; `head` is what comes before its items, `records` are what the question finds."""
        key = (question.prefix, question.after, question.limit)
        kept = self._kept.get(key)
        if kept is None or kept.modified != question.modified:
            return self._keep(key, _Kept(question.modified, head, joined(head, records)))
        if kept.head != head:
            items = memoryview(kept.body)[len(kept.head) :]
            return self._keep(key, _Kept(question.modified, head, b"".join((head, items))))
        self._kept.move_to_end(key)
        return kept.body

    def _keep(self, key: tuple[str, str, int], made: _Kept) -> bytes:
        before = self._kept.pop(key, None)
        self._bytes += len(made.body) - (len(before.body) if before is not None else 0)
        self._kept[key] = made
        while self._bytes > BYTES_MAX:
            self._bytes -= len(self._kept.popitem(last=False)[1].body)
        return made.body


def joined(head: bytes, records: Sequence[Record]) -> bytes:
    """A list's JSON made of the records' tails, each of them copied once."""
    if not records:
        return head + b',"items":[]}\n'
    tails = [record.tail for record in records]
    tails[0] = b"%b%b%b" % (head, _ITEMS, tails[0])
    tails[-1] += b"]}\n"
    return b",{".join(tails)
