"""Ingresses as routes."""

import pytest

from ingress_builders import backend, ingress, ingress_class, path, rule, tls_secret
from service_builders import service
from tiphys.ingress.plan import ours, plan
from tiphys.ingress.routes import Backend, Match, Pool, RedirectToHttps

SERVICES = {("shop", "web"): service("web", {"name": "http", "port": 80}), ("shop", "api"): service("api", 8080)}
SECRETS = {("shop", "cert"): tls_secret("cert", "a.test"), ("shop", "odd"): tls_secret("odd", "a.test", key_of="b")}
WEB, API = Pool((Backend("shop", "web", "http"),)), Pool((Backend("shop", "api", ""),))


def planned(*ingresses):
    return plan(ingresses, lambda *key: SERVICES.get(key), lambda *key: SECRETS.get(key))


def routes(*ingresses):
    return {route.match: route.pool for route in planned(*ingresses).table.routes}


def reasons(*ingresses):
    return [problem.reason for problem in planned(*ingresses).problems]


def test_hosts_and_paths_lead_to_ports_by_number_or_name():
    rules = (rule("A.test", path("/", "web", "http"), path("/api/", "api", 8080)), rule("", path("/x", kind="Exact")))
    expected = {Match("a.test"): WEB, Match("a.test", "/api"): API, Match("", "/x", True): WEB}
    assert routes(ingress("front", *rules)) == expected


def test_a_path_that_is_left_to_us_is_a_prefix():
    assert routes(ingress("i", rule("a.test", path("/v1/", kind="ImplementationSpecific")))) == {
        Match("a.test", "/v1"): WEB
    }


def test_the_older_ingress_keeps_a_path_that_two_ask_for():
    old = ingress("z", rule("a.test"), created="2026-01-01T00:00:00Z")
    new = ingress("a", rule("a.test", path("/", "api", 8080)))
    assert ours([new, old], [ingress_class()]) == [old, new]
    assert routes(old, new) == {Match("a.test"): WEB} and reasons(old, new) == ["Conflict"]


def test_the_default_backend_takes_what_is_left_of_its_hosts_or_of_all():
    named = ingress("a", rule("a.test", path("/x")), defaultBackend=backend("api", 8080))
    assert routes(named) == {Match("a.test", "/x"): WEB, Match("a.test"): API}
    assert routes(ingress("b", defaultBackend=backend("api", 8080))) == {Match(): API}


def test_nobodys_default_takes_what_somebody_asked_for():
    default = ingress("a", defaultBackend=backend("api", 8080), created="2026-01-01T00:00:00Z")
    assert routes(default, ingress("b", rule(""))) == {Match(): WEB}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (path(service="gone"), "ServiceNotFound"),
        (path(port=81), "PortNotFound"),
        (path(port="gone"), "PortNotFound"),
        (
            {"path": "/", "pathType": "Prefix", "backend": {"resource": {"kind": "X", "name": "x"}}},
            "BackendNotSupported",
        ),
        (path("/a b"), "InvalidPath"),
    ],
)
def test_what_cannot_be_served_is_told_and_costs_the_rest_nothing(wrong, reason):
    one = ingress("i", rule("a.test", wrong, path("/fine")))
    assert routes(one) == {Match("a.test", "/fine"): WEB} and reasons(one) == [reason]


def test_certificates_have_the_names_of_their_entry():
    found = planned(ingress("i", rule("a.test"), tls=[{"hosts": ["A.test"], "secretName": "cert"}]))
    assert [one.hosts for one in found.table.certificates] == [("a.test",)] and found.problems == ()


@pytest.mark.parametrize(("secret", "reason"), [("gone", "SecretNotFound"), ("odd", "InvalidCertificate")])
def test_a_certificate_that_cannot_be_used_is_told(secret, reason):
    one = ingress("i", rule("a.test"), tls=[{"secretName": secret}])
    assert planned(one).table.certificates == () and reasons(one) == [reason] and len(routes(one)) == 1


def test_only_ingresses_of_our_classes_count():
    old_way = ingress("c", rule(""), cls=None, annotations={"kubernetes.io/ingress.class": "tiphys"})
    other, none = ingress("b", rule(""), cls="nginx"), ingress("d", rule(""), cls=None)
    classes = [ingress_class(), ingress_class("nginx", "k8s.io/ingress-nginx")]
    assert ours([other, none, old_way], classes) == [old_way]


def test_plain_http_is_sent_to_https_where_the_ingress_says_so():
    one = ingress("i", rule("a.test"), annotations={"tiphys.io/redirect-to-https": "true"})
    assert [pool.filters for pool in routes(one).values()] == [(RedirectToHttps(),)]


def test_the_same_objects_give_the_same_plan():
    assert planned(ingress("i", rule("a.test"))) == planned(ingress("i", rule("a.test")))
