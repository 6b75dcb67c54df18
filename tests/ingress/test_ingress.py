"""A real HAProxy, driven by objects."""

import asyncio
import os
import select
import signal
import socket
import ssl
import threading

import pytest

from ingress_builders import ingress, path, rule, tls_secret
from service_builders import endpoint, endpoints, service
from tiphys.ingress.haproxy import running


async def test_without_an_ingress_nothing_runs_and_no_port_is_taken(way):
    await way.put(service(), way.server("a"))
    assert running(way.settings.run_dir) is None and not way.settings.run_dir.exists()


async def test_hosts_and_paths_are_chosen_as_kubernetes_says(way):
    paths = [path("/", "web"), path("/foo", "foo"), path("/foo/bar", "web"), path("/foo", "exact", kind="Exact")]
    rules = [rule("a.test", *paths), rule("*.w.test", path("/", "foo")), rule("", path("/any", "exact"))]
    for name in ("web", "foo", "exact"):
        await way.put(service(name), way.server(name, name))
    await way.put(ingress("front", *rules))
    asked = {
        ("a.test", "/"): "web", ("A.TEST:80", "/x?y=1"): "web", ("a.test", "/foobar"): "web",
        ("a.test", "/foo"): "exact", ("a.test", "/foo/"): "foo", ("a.test", "/foo/x"): "foo",
        ("a.test", "/foo/bar/x"): "web", ("x.w.test", "/"): "foo", ("b.test", "/any/1"): "exact",
    }  # fmt: skip
    for (host, where), name in asked.items():
        assert (await way.get(host, where))[1].split()[0] == name, (host, where)
    for host in ("w.test", "x.y.w.test", "b.test"):
        assert (await way.get(host))[0] == 404


async def test_the_status_has_the_nodes_address_and_problems_are_told_once(way):
    await way.put(service(), ingress("front", rule("a.test", path(), path("/x", "gone"))))
    await way.put(service("other"))
    assert way.tools.performed[0].patch["status"]["loadBalancer"]["ingress"] == [{"ip": "10.0.0.1"}]
    assert [said[:2] for said in way.tools.said] == [("front", "ServiceNotFound")]


async def test_endpoints_change_without_a_reload_and_without_endpoints_it_is_503(way):
    await way.put(service(), ingress("front", rule("a.test")))
    worker = await way.part._haproxy.ask("show info")
    assert (await way.get("a.test"))[0] == 503
    for name in ("a", "b"):
        await way.put(way.server(name))
        assert (await way.get("a.test"))[1].split()[0] == name
    assert pid_in(await way.part._haproxy.ask("show info")) == pid_in(worker)


def pid_in(info):
    return next(line for line in info.splitlines() if line.startswith("Pid:"))


async def test_requests_are_counted_by_service(way):
    await way.put(service(), way.server("web"), ingress("front", rule("a.test"), rule("b.test")))
    for host in ("a.test", "b.test", "c.test"):
        await way.get(host)
    assert await way.part.requests() == {("shop", "web"): 2}


async def test_a_certificate_is_chosen_by_the_name_and_unknown_names_are_refused(way):
    secrets = [tls_secret("a", "a.test"), tls_secret("b", "b.test")]
    tls = [{"hosts": [f"{name}.test"], "secretName": name} for name in ("a", "b")]
    await way.put(service(), way.server("web"), *secrets, ingress("front", rule("a.test"), rule("b.test"), tls=tls))
    assert (await way.get("a.test", secure=True))[1] == "web / https"
    seen = {host: await asyncio.to_thread(certificate, way.settings.https_port, host) for host in ("a.test", "b.test")}
    assert all(host.encode() in seen[host] for host in seen)
    with pytest.raises(ssl.SSLError):
        await asyncio.to_thread(certificate, way.settings.https_port, "c.test")


def certificate(port, host):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 10) as made,
        context.wrap_socket(made, server_hostname=host) as tls,
    ):
        return tls.getpeercert(binary_form=True)


async def test_plain_http_is_redirected_where_it_is_asked_for(way):
    annotations = {"tiphys.io/redirect-to-https": "true"}
    await way.put(service(), way.server("web"), ingress("front", rule("a.test"), annotations=annotations))
    assert (await way.get("a.test", "/x"))[0] == 308


async def test_who_is_said_to_ask_cannot_be_made_up(way):
    await way.put(service(), way.server("web"), ingress("front", rule("a.test")))
    assert (await way.get("a.test", headers={"X-Forwarded-Proto": "https"}))[1] == "web / http"


class Calls:
    """Requests one after another on kept connections, until it is stopped."""

    def __init__(self, way, workers=4):
        self.way, self.answers, self.failures, self.over = way, 0, [], threading.Event()
        self.threads = [threading.Thread(target=self.work) for _ in range(workers)]
        for thread in self.threads:
            thread.start()

    def work(self):
        import http.client

        made = http.client.HTTPConnection("127.0.0.1", self.way.settings.http_port, timeout=10)
        while not self.over.is_set():
            try:
                made.request("GET", "/", headers={"Host": "a.test"})
                answer = made.getresponse()
                answer.read()
                self.failures += [answer.status] if answer.status != 200 else []
                self.answers += 1
            except OSError as error:
                self.failures.append(repr(error))
        made.close()

    async def stop(self):
        self.over.set()
        for thread in self.threads:
            await asyncio.to_thread(thread.join)


async def test_neither_reloads_nor_endpoints_cost_a_request(way):
    first, second = way.server("a"), way.server("b")
    await way.put(service(), first, ingress("front", rule("a.test")))
    calls = Calls(way)
    for number in range(6):
        await way.put(ingress("other", rule(f"n{number}.test")))
        await way.put(second if number % 2 else first)
    await calls.stop()
    assert calls.failures == [] and calls.answers > 20


async def test_it_goes_on_without_us_and_is_taken_over(way):
    await way.put(service(), way.server("a"), ingress("front", rule("a.test")))
    pid = running(way.settings.run_dir)
    await way.end()
    assert (await way.get("a.test"))[1].split()[0] == "a"
    for part in ("_held", "_generation"):
        setattr(way.part, part, {} if part == "_held" else "")
    way.source(endpoints("web")).put(way.server("b"))
    await way.begin()
    assert (await way.get("a.test"))[1].split()[0] == "b" and running(way.settings.run_dir) == pid


async def test_a_data_plane_that_dies_is_started_again(way):
    await way.put(service(), way.server("a"), ingress("front", rule("a.test")))
    dead = running(way.settings.run_dir)
    ended = os.pidfd_open(dead)
    os.kill(dead, signal.SIGKILL)
    await asyncio.to_thread(select.select, [ended], [], [])
    os.close(ended)
    await asyncio.sleep(0.01)
    await way.settled()
    assert running(way.settings.run_dir) != dead and (await way.get("a.test"))[0] == 200


async def test_with_the_last_ingress_it_goes(way):
    front = ingress("front", rule("a.test"))
    await way.put(service(), front)
    await way.remove(front)
    assert running(way.settings.run_dir) is None and not way.settings.run_dir.exists()
    with pytest.raises(ConnectionRefusedError):
        await way.get("a.test")


async def test_a_port_that_is_taken_is_named(way):
    with socket.create_server(("127.0.0.1", way.settings.http_port)):
        await way.put(service(), ingress("front", rule("a.test")))
        [(_, reason, message)] = way.tools.said
    assert reason == "PortTaken" and f"port {way.settings.http_port}" in message and "--ingress-http-port" in message


async def test_a_port_that_is_taken_when_tls_comes_leaves_http_as_it_is(way):
    await way.put(service(), way.server("web"), ingress("front", rule("a.test")))
    with socket.create_server(("127.0.0.1", way.settings.https_port)):
        await way.put(tls_secret("a", "a.test"), ingress("front", rule("a.test"), tls=[{"secretName": "a"}]))
        assert way.tools.said[-1][1] == "PortTaken" and (await way.get("a.test"))[0] == 200


async def test_who_ends_a_pod_is_told_when_it_is_asked_nothing_more(way):
    pod = {"targetRef": {"uid": "u1"}}
    running_pod, leaving = endpoint("127.0.0.1") | pod, endpoint("127.0.0.1", terminating=True, ready=False) | pod
    await way.put(service(), endpoints("web", running_pod), ingress("front", rule("a.test")))
    waiting = asyncio.create_task(way.part.withdrawn("u1"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await way.put(endpoints("web", leaving))
    async with asyncio.timeout(5):
        await waiting
