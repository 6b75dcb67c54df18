"""Encoded answers: kept, dropped with the zone's changes, and taking turns."""

import pytest

from dns_builders import query, shown, zone
from service_builders import endpoints, service
from tiphys.dns import message
from tiphys.dns.answers import ENTRIES_MAX, Answers, Upstream, ZoneIncomplete, with_target
from tiphys.dns.message import AXFR, A, parse

WEB = "web.shop.svc.cluster.local"


def answers(made, *, synced=True):
    found = Answers(made)
    found.synced = synced
    return found


def code(data):
    return message.code_of(data)


def test_keeps_what_was_asked_by_all_but_its_id():
    found = answers(zone(service()))
    data = found.answer(query(WEB, identifier=1), udp=True)
    assert found.kept()[query(WEB, identifier=2)[2:]] == [data[2:]]


def test_drops_what_is_kept_when_the_zone_changes():
    made = zone(service())
    found = answers(made)
    found.answer(query(WEB), udp=True)
    made.remove(("service", "web"))
    assert found.kept() == {}
    assert code(found.answer(query(WEB), udp=True)) == message.NXDOMAIN


def test_what_is_kept_is_bounded():
    found = answers(zone())
    for number in range(ENTRIES_MAX + 10):
        found.answer(query(f"n{number}.shop.svc.cluster.local"), udp=True)
    assert 0 < len(found.kept()) <= ENTRIES_MAX


def test_addresses_take_turns_in_front():
    piece = endpoints("web", "10.42.0.1", "10.42.0.2", "10.42.0.3")
    found = answers(zone(service(clusterIP="None", clusterIPs=["None"]), slices=[piece]))
    found.answer(query(WEB), udp=True)
    (bodies,) = found.kept().values()
    firsts = {message.records_of(b"\0\0" + body)[0].data[-1] for body in bodies}
    assert firsts == {1, 2, 3}


def test_long_answers_are_cut_over_udp_only():
    piece = endpoints("web", *(f"10.42.1.{number}" for number in range(1, 101)))
    found = answers(zone(service(clusterIP="None", clusterIPs=["None"]), slices=[piece]))
    assert message.is_truncated(found.answer(query(WEB), udp=True))
    assert message.answer_count(found.answer(query(WEB, edns=4096), udp=False)) == 100


def test_names_have_no_answer_until_the_zone_is_whole():
    with pytest.raises(ZoneIncomplete):
        answers(zone(service()), synced=False).answer(query(WEB), udp=True)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (query(WEB, flags=0x2800), message.NOTIMP),
        (query(WEB, AXFR), message.REFUSED),
        (query(WEB, klass=3), message.REFUSED),
        (query(WEB)[:-2], message.FORMERR),
    ],
)
def test_what_is_not_spoken_is_refused(data, expected):
    assert code(answers(zone(service())).answer(data, udp=True)) == expected


def test_what_is_no_message_gets_no_answer():
    assert answers(zone()).answer(b"hello", udp=True) is None


def test_other_names_are_for_upstream():
    with pytest.raises(Upstream) as raised:
        answers(zone()).answer(query("example.com"), udp=True)
    assert raised.value.known is None


def test_the_target_of_an_alias_outside_is_for_upstream():
    made = zone(service(type="ExternalName", externalName="example.com", clusterIP=""))
    with pytest.raises(Upstream) as raised:
        answers(made).answer(query(WEB), udp=True)
    found = [message.Record(raised.value.target, A, 9, b"\1\2\3\4")]
    data = with_target(parse(query(WEB)), raised.value.known, found, 0, 512)
    assert shown(message.records_of(data)) == ["example.com 1 1.2.3.4", f"{WEB} 5 example.com"]
