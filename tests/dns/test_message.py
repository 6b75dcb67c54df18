"""The wire format: what comes in is read within bounds, what goes out can be read."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dns_builders import address, query, response
from tiphys.dns import message
from tiphys.dns.message import AAAA, SOA, SRV, A, Answer, Malformed, Record, name_of, parse

MANY = [address("web.shop.svc.cluster.local", f"10.42.0.{number}") for number in range(100)]


def test_reads_the_question_in_lower_case_and_keeps_it_as_it_came():
    found = parse(query("Web.SHOP.svc"))
    assert (found.name, found.type, found.id) == (name_of("web.shop.svc"), A, 7)
    assert b"Web" in found.question


def test_reads_edns_and_its_limits():
    assert parse(query("a.b", edns=4096)).udp_bytes_max == 1232
    assert parse(query("a.b", edns=100)).udp_bytes_max == 512
    assert parse(query("a.b")).udp_bytes_max == 512


@pytest.mark.parametrize("data", [b"", b"\0" * 11, b"\0" * 12, query("a.b")[:-1], query("a.b", flags=0x8000)])
def test_refuses_what_is_no_query(data):
    with pytest.raises(Malformed):
        parse(data)


@given(some.binary(max_size=300))
def test_any_bytes_are_a_query_or_malformed(data):
    for text in (data, query("a.b")[:12] + data):
        try:
            assert parse(text).question
        except Malformed as refused:
            assert str(refused)


def test_pointers_that_run_in_a_circle_come_to_an_end():
    with pytest.raises(Malformed):
        parse(query("a.b")[:12] + b"\xc0\x0c\0\1\0\1")


def test_a_question_has_no_pointers():
    with pytest.raises(Malformed, match="pointer"):
        parse(b"\0\7\1\0\0\1\0\0\0\0\0\0" + b"\xc0\x0a" + b"\0\1\0\1")


def test_echoes_id_case_and_recursion():
    data = message.encode(parse(query("WEB.shop", identifier=513)), Answer(answers=MANY[:1]))
    assert data[:2] == struct.pack(">H", 513) and b"WEB" in data
    assert data[2] & 0x85 == 0x85 and data[3] == 0x80


def test_what_it_writes_it_reads_again():
    records = [MANY[0], Record(name_of("x.y"), message.CNAME, 5, name_of("web.shop")), MANY[1]]
    assert message.records_of(message.encode(parse(query("x.y")), Answer(answers=records))) == records


def test_names_are_compressed_but_not_the_target_of_a_service():
    target = name_of("web.shop.svc.cluster.local")
    plain = message.encode(parse(query("web.shop.svc.cluster.local")), Answer(answers=MANY[:2]))
    service = Record(target, SRV, 5, (0, 100, 80, target))
    assert plain.count(b"cluster") == 1
    assert message.encode(parse(query("web.shop.svc.cluster.local")), Answer(answers=[service])).count(b"cluster") == 2


def test_leaves_out_extras_before_it_truncates():
    asked = parse(query("web.shop.svc.cluster.local"))
    data = message.encode(asked, Answer(answers=MANY[:2], additional=MANY), 512)
    assert not message.is_truncated(data) and message.answer_count(data) == 2


def test_truncates_what_does_not_fit():
    data = message.encode(parse(query("web.shop.svc.cluster.local")), Answer(answers=MANY), 512)
    assert message.is_truncated(data) and len(data) <= 512 and message.answer_count(data) == 0


def test_a_bad_version_is_told_in_both_halves_of_the_code():
    data = message.encode(parse(query("a.b", edns=512)), Answer(message.BADVERS))
    assert (data[3] & 15, data[-11:]) == (0, b"\0\0\x29\x04\xd0\1\0\0\0\0\0")


def test_errors_for_the_unreadable_echo_only_the_head():
    assert message.refusal(query("a.b")[:-1], message.FORMERR) == b"\0\7\x81\1" + b"\0" * 8
    assert message.refusal(b"short", message.FORMERR) is None
    assert message.refusal(query("a.b", flags=0x8000), message.FORMERR) is None


def test_upstream_is_asked_in_our_own_words():
    own = message.upstream_query(parse(query("Example.COM", AAAA, edns=4096)), 9)
    assert own == query("example.com", AAAA, edns=1232, identifier=9)


def test_a_response_belongs_to_its_query_only():
    sent = query("example.com")
    good, size = response(sent, MANY[0]), len(parse(sent).question)
    assert message.answers_question(good, sent, size)
    assert not message.answers_question(b"\1\1" + good[2:], sent, size)
    assert not message.answers_question(response(query("example.net")), sent, size)
    assert not message.answers_question(sent, sent, size)


def test_finds_the_ttls_of_all_records_but_edns():
    soa = Record(name_of("x"), SOA, 30, (name_of("ns.x"), name_of("me.x"), (1, 2, 3, 4, 5)))
    data = response(query("a.b", edns=512), MANY[0], authority=[soa])
    assert [seconds for _, seconds in message.ttl_offsets(data)] == [60, 30]


def test_cuts_a_response_down_to_its_question():
    asked = parse(query("a.b", edns=512))
    cut = message.truncated(response(query("a.b"), *MANY), asked)
    assert message.is_truncated(cut) and message.records_of(cut) == [] and len(cut) == 12 + 9 + 11
