"""One watcher between the cache and its connection."""

import asyncio

from tiphys.apiserver.records import Record
from tiphys.apiserver.watchers import Change, Watcher, plain

VALUE = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","uid":"%b"}}' % (b"0" * 36)


def change(revision):
    return Change(Record("/registry/configmaps/shop/a", VALUE, revision), None, deleted=False, seconds=0.0)


class Connection:
    """Reads a watcher's stream; takes chunks directly while it is `quick`."""

    def __init__(self, *, quick=True):
        self.watcher = Watcher(plain("ConfigMap", "v1"), None, bookmarks=False)
        self.pushed, self.read, self.quick = [], [], quick
        self.watcher.attach(self.take)

    def take(self, chunk):
        if self.quick:
            self.pushed.append(chunk)
        return self.quick

    async def follow(self):
        async for chunk in self.watcher.stream():
            self.read.append(chunk)


async def offered(connection, *revisions):
    reading = asyncio.create_task(connection.follow())
    await asyncio.sleep(0)
    for revision in revisions:
        connection.watcher.offer(change(revision))
    connection.watcher.deliver()
    return reading


async def ended(connection, reading):
    connection.watcher.end()
    await reading


async def test_a_batch_goes_to_a_quick_connection_at_once_and_together():
    connection = Connection()
    reading = await offered(connection, 1, 2)
    assert len(connection.pushed) == 1 and connection.pushed[0].count(b"\n") == 2
    await ended(connection, reading)
    assert connection.read == []


async def test_the_only_change_of_a_batch_goes_out_at_once():
    connection = Connection()
    reading = await offered(connection)
    connection.watcher.tell(change(1))
    assert len(connection.pushed) == 1
    await ended(connection, reading)
    assert connection.read == []


async def test_the_only_change_of_a_batch_waits_behind_what_waits():
    connection = Connection(quick=False)
    reading = await offered(connection, 1)
    connection.quick = True
    connection.watcher.tell(change(2))
    await ended(connection, reading)
    assert connection.pushed == [] and b"".join(connection.read).count(b"\n") == 2


async def test_what_a_slow_connection_does_not_take_comes_by_its_stream():
    connection = Connection(quick=False)
    await ended(connection, await offered(connection, 1, 2))
    assert b"".join(connection.read).count(b"\n") == 2


async def test_nothing_overtakes_what_still_waits():
    connection = Connection(quick=False)
    reading = await offered(connection, 1)
    connection.quick = True
    connection.watcher.offer(change(2))
    connection.watcher.deliver()
    await ended(connection, reading)
    assert connection.pushed == [] and b"".join(connection.read).index(b'"1"') < b"".join(connection.read).index(b'"2"')
