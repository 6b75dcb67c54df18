"""What upstream said, for as long as it holds."""

from dns_builders import address, query, response
from tiphys.dns import message
from tiphys.dns.message import SOA, Record, name_of
from tiphys.dns.upstream_cache import UpstreamCache, lifetime

ASKED = query("example.com")
NOTHING = Record(name_of("com"), SOA, 12, (name_of("a.com"), name_of("b.com"), (1, 2, 3, 4, 5)))


def kept(data):
    cache = UpstreamCache()
    cache.put(b"key", data, 100.0)
    return cache


def test_gives_ttls_as_they_are_by_then():
    cache = kept(response(ASKED, address("example.com", "1.2.3.4", 25)))
    assert message.records_of(cache.get(b"key", 110.5))[0].ttl_seconds == 15


def test_ends_with_the_shortest_ttl():
    cache = kept(response(ASKED, address("example.com", "1.2.3.4", 25), address("example.com", "1.2.3.5", 10)))
    assert cache.get(b"key", 109.0) and cache.get(b"key", 110.0) is None


def test_never_keeps_long():
    assert kept(response(ASKED, address("example.com", "1.2.3.4", 9000))).get(b"key", 131.0) is None


def test_keeps_that_there_is_nothing_as_long_as_the_authority_says():
    assert lifetime(response(ASKED, code=message.NXDOMAIN, authority=[NOTHING]))[0] == 12
    assert lifetime(response(ASKED, code=message.NXDOMAIN))[0] == 0


def test_does_not_keep_failures_or_pieces():
    record = address("example.com", "1.2.3.4")
    assert lifetime(response(ASKED, record, code=message.SERVFAIL))[0] == 0
    assert lifetime(response(ASKED, record, flags=message.FLAG_TRUNCATED))[0] == 0
    assert lifetime(response(ASKED, record)[:-2])[0] == 0


def test_is_bounded_in_bytes_and_drops_what_was_not_used():
    data = response(ASKED, address("example.com", "1.2.3.4"))
    cache = UpstreamCache(bytes_max=3 * (len(data) + 1))
    for key in (b"a", b"b", b"c"):
        cache.put(key, data, 0.0)
    cache.get(b"a", 1.0)
    cache.put(b"d", data, 1.0)
    assert [cache.get(key, 1.0) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
