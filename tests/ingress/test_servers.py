"""Endpoints and the servers that HAProxy has for them."""

from service_builders import endpoint, endpoints
from tiphys.ingress import runtime
from tiphys.ingress.endpoints import has_ended, shares, targets
from tiphys.ingress.routes import Backend, Pool
from tiphys.ingress.servers import Put, Retire, Server, Weigh, after, changes, first

WEB = Backend("shop", "web", "")
A, B, C = ("10.1.0.2", 80), ("10.1.0.3", 80), ("10.1.0.4", 80)


def test_ready_endpoints_answer_and_those_that_end_only_when_there_is_no_other():
    ending = endpoint("10.1.0.3", ready=False, serving=True, terminating=True)
    assert targets(WEB, [endpoints("web", "10.1.0.2", ending)]) == [("10.1.0.2", 8080)]
    assert targets(WEB, [endpoints("web", ending)]) == [("10.1.0.3", 8080)]
    assert targets(WEB, [endpoints("web", endpoint("10.1.0.3", ready=False))]) == []


def test_a_port_is_found_by_its_name_in_every_slice():
    slices = [endpoints("web", "10.1.0.2", port_name="http"), endpoints("web", "10.1.0.3", port_name="admin")]
    assert targets(Backend("shop", "web", "http"), slices) == [("10.1.0.2", 8080)]


def test_backends_share_by_weight_whatever_their_number_of_endpoints():
    pool = Pool((Backend("shop", "old", "", 9), Backend("shop", "new", "", 1)))
    slices = {"old": [endpoints("old", "10.1.0.2", "10.1.0.3", "10.1.0.4")], "new": [endpoints("new", "10.1.0.9")]}
    weights = shares(pool, lambda namespace, name: slices[name])
    old = sum(weight for (address, _), weight in weights.items() if address != "10.1.0.9")
    assert round(old / sum(weights.values()), 2) == 0.9
    assert shares(Pool((Backend("shop", "new", "", 0),)), lambda *_: slices["new"]) == {}


def test_one_that_comes_takes_a_free_place_or_a_new_one():
    held = [Server(*A), Server(*B, used=False)]
    assert changes(held, {A: 1, C: 1}) == [Put(2, Server(*C))]
    assert changes(held[:1], {A: 1, C: 1}) == [Put(2, Server(*C), fresh=True)]


def test_one_that_goes_leaves_its_place_after_others_have_come():
    assert changes([Server(*A)], {B: 1}) == [Put(2, Server(*B), fresh=True), Retire(1)]


def test_one_that_comes_back_takes_its_old_place():
    held = [Server(*B, used=False), Server(*A, used=False)]
    assert changes(held, {A: 1}) == [Put(2, Server(*A))]


def test_another_share_is_a_weight():
    assert changes([Server(*A, 1)], {A: 5}) == [Weigh(1, 5)]


def test_settled_means_no_commands():
    held = first({A: 1})
    for wanted in ({A: 1, B: 2}, {B: 1}, {}, {C: 3, A: 1}):
        held = after(held, changes(held, wanted))
        assert changes(held, wanted) == []


def test_a_pod_has_ended_when_no_endpoint_of_it_wants_requests():
    one = endpoint("10.1.0.2", terminating=False) | {"targetRef": {"uid": "u1"}}
    assert not has_ended("u1", [endpoints("web", one)])
    assert has_ended("u1", [endpoints("web", one | {"conditions": {"terminating": True}})]) and has_ended("u2", [])


def test_changes_are_words_of_the_runtime_socket():
    made = [Put(2, Server(*B, 3), fresh=True), Put(1, Server(*A)), Weigh(1, 4), Retire(3)]
    assert runtime.commands("p", made) == [
        "add server p/s2 10.1.0.3:80 weight 3; enable server p/s2",
        "set server p/s1 addr 10.1.0.2 port 80; set server p/s1 weight 1; set server p/s1 state ready",
        "set server p/s1 weight 4",
        "set server p/s3 state maint",
    ]


def test_only_complaints_of_haproxy_are_failures():
    assert runtime.failure("New server registered.\n\n") == ""
    assert runtime.failure("IP changed from '10.1.0.2' to '10.1.0.3' by 'stats socket command'\n") == ""
    assert runtime.failure("No such backend.\n\n") == "No such backend."
