"""Asking upstream, on virtual time with servers that are functions."""

import asyncio

from dns_builders import address, query, response
from tiphys.aio import virtual
from tiphys.dns import message
from tiphys.dns.forward import FAILURE_SECONDS, TOTAL_SECONDS, TRY_SECONDS, Forwarder, fitted
from tiphys.dns.message import parse
from tiphys.dns.resolv_conf import ResolvConf
from tiphys.dns.resolv_conf import parse as parse_resolv_conf
from tiphys.dns.settings import DnsSettings

FIRST, SECOND = ("192.0.2.1", 53), ("192.0.2.2", 53)
ASKED = parse(query("Example.com"))
ADDRESS = address("example.com", "1.2.3.4", 20)


class Upstream:
    """`answers` by server: a function of the query, or seconds of silence."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    async def udp(self, server, sent):
        return await self._of("udp", server, sent)

    async def tcp(self, server, sent):
        return await self._of("tcp", server, sent)

    async def _of(self, way, server, sent):
        self.asked.append((way, server))
        answer = self.answers.get(way if way == "tcp" else "first" if server == FIRST else "second")
        if not callable(answer):
            await asyncio.sleep(answer)
            raise ConnectionRefusedError
        return answer(sent)


def good(sent):
    return response(sent, ADDRESS)


def forward(upstream, *questions, servers=(FIRST, SECOND), bytes_max=512, pause=0.0):
    async def main():
        settings = DnsSettings(listen=(("192.0.2.9", 53),), upstream=servers)
        forwarder = Forwarder(settings, udp=upstream.udp, tcp=upstream.tcp)
        answers = []
        for asked in questions:
            together = asked if isinstance(asked, list) else [asked]
            answers += await asyncio.gather(*(forwarder.answer(one, bytes_max) for one in together))
            await asyncio.sleep(pause)
        return answers, asyncio.get_running_loop().time()

    return virtual.run(main())


def codes(answers):
    return [message.code_of(answer) for answer in answers]


def test_the_answer_is_that_of_the_server_with_the_clients_id_and_spelling():
    (answer,), _ = forward(Upstream(first=good), ASKED)
    assert message.records_of(answer) == [ADDRESS]
    assert answer[:2] == b"\0\7" and b"Example" in answer


def test_asks_once_and_then_remembers():
    upstream = Upstream(first=good)
    forward(upstream, ASKED, parse(query("EXAMPLE.com", identifier=99)))
    assert len(upstream.asked) == 1


def test_asks_again_when_the_time_is_over():
    upstream = Upstream(first=good)
    forward(upstream, ASKED, ASKED, pause=21.0)
    assert len(upstream.asked) == 2


def test_the_same_question_at_the_same_time_is_asked_once():
    upstream = Upstream(first=1.0, second=good)
    answers, _ = forward(upstream, [ASKED] * 50)
    assert codes(answers) == [0] * 50 and len(upstream.asked) == 2


def test_a_silent_server_is_left_and_then_asked_last():
    upstream = Upstream(first=60.0, second=good)
    _, seconds = forward(upstream, ASKED, parse(query("example.net")))
    assert seconds == TRY_SECONDS
    assert [server for _, server in upstream.asked] == [FIRST, SECOND, SECOND]


def test_a_lone_server_gets_a_second_chance_and_then_it_is_a_failure():
    upstream = Upstream(first=60.0)
    answers, seconds = forward(upstream, ASKED, servers=(FIRST,))
    assert (codes(answers), len(upstream.asked)) == ([message.SERVFAIL], 2)
    assert seconds <= TOTAL_SECONDS


def test_that_nobody_answered_is_remembered_for_a_moment():
    upstream = Upstream(first=60)
    answers, seconds = forward(upstream, ASKED, ASKED, servers=[FIRST])
    assert codes(answers) == [message.SERVFAIL] * 2 and seconds == 2 * TRY_SECONDS
    forward(upstream := Upstream(first=60), ASKED, ASKED, servers=[FIRST], pause=FAILURE_SECONDS + 1)
    assert len(upstream.asked) == 3, "the second time without a second chance"


def test_a_server_in_trouble_is_not_the_last_word():
    upstream = Upstream(first=lambda sent: response(sent, code=message.REFUSED), second=good)
    assert codes(forward(upstream, ASKED)[0]) == [0]


def test_what_was_cut_is_asked_for_over_tcp():
    upstream = Upstream(first=lambda sent: response(sent, flags=message.FLAG_TRUNCATED), tcp=good)
    (answer,), _ = forward(upstream, ASKED)
    assert message.records_of(answer) == [ADDRESS]


def test_an_answer_to_another_question_counts_for_nothing():
    upstream = Upstream(first=lambda sent: response(query("evil.com")), second=good)
    (answer,), _ = forward(upstream, ASKED)
    assert message.records_of(answer) == [ADDRESS]


def test_no_server_at_all_is_a_failure_at_once():
    assert codes(forward(Upstream(), ASKED, servers=(("10.96.0.10", 53),))[0]) == [message.SERVFAIL]


def test_what_does_not_fit_the_client_is_cut():
    many = response(query("example.com"), *[address("example.com", f"1.2.3.{n}") for n in range(60)])
    assert message.is_truncated(fitted(many, ASKED, 512))
    assert len(message.records_of(fitted(many, ASKED, 65535))) == 60


def test_reads_the_servers_of_the_host_but_not_itself():
    text = (
        "# c\nnameserver 10.96.0.10\nnameserver 1.1.1.1\nnameserver bad\nnameserver 1.1.1.1\nnameserver fe80::1%eth0\n"
    )
    assert parse_resolv_conf(text, {"10.96.0.10"}) == [("1.1.1.1", 53), ("fe80::1%eth0", 53)]


def test_notices_that_the_hosts_servers_have_changed(tmp_path):
    path = tmp_path / "resolv.conf"
    conf = ResolvConf(path, ())
    assert conf.servers() == []
    path.write_text("nameserver 1.1.1.1\n")
    assert conf.servers() == [("1.1.1.1", 53)]
    path.with_suffix(".new").write_text("nameserver 9.9.9.9\n")
    path.with_suffix(".new").rename(path)
    assert conf.servers() == [("9.9.9.9", 53)]
