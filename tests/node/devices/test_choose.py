"""Which devices a container gets: pure."""

import pytest

from node_builders import container, new_pod
from tiphys.node.devices.choose import Choice, NoDevices, Stock, choice, picked, shortage, wanted_by

GPU = "example.com/gpu"


def wants(count, name="c", **fields):
    return container(name, resources={"limits": {GPU: str(count), "cpu": "1"}}, **fields)


def stock(healthy="abc", held="", **more):
    return Stock(GPU, frozenset(healthy), frozenset(held), **more)


def test_only_resources_with_a_domain_are_devices():
    assert wanted_by(wants(2)) == {GPU: 2}
    assert wanted_by(wants(0)) == wanted_by(container()) == {}


def test_what_others_hold_is_not_given():
    assert picked(choice(stock(held="a"), (), 2)) == ["b", "c"]


def test_the_plugin_may_prefer_but_not_what_is_held():
    assert picked(choice(stock(held="c"), (), 1), ["c", "b"]) == ["b"]
    assert picked(Choice(frozenset("abc"), frozenset("c"), 2), ["b"]) == ["b", "c"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (stock(is_registered=False), "cannot allocate unregistered device example.com/gpu"),
        (stock(""), "no healthy devices present; cannot allocate unhealthy devices example.com/gpu"),
        (stock("ab", "a"), "requested number of devices unavailable for example.com/gpu. Requested: 2, Available: 1"),
    ],
)
def test_a_shortage_is_worded_as_everywhere(given, text):
    with pytest.raises(NoDevices) as caught:
        choice(given, (), 2)
    assert str(caught.value) == text
    assert shortage(new_pod(containers=[wants(2)]), {GPU: given}) == text


def test_containers_that_run_together_need_devices_of_their_own():
    assert shortage(new_pod(containers=[wants(2), wants(1, "d")]), {GPU: stock()}) == ""
    assert "Available: 1" in shortage(new_pod(containers=[wants(2), wants(2, "d")]), {GPU: stock()})


def test_what_an_init_container_had_is_used_again_a_sidecar_keeps_its_own():
    assert shortage(new_pod(initContainers=[wants(3, "i")], containers=[wants(3)]), {GPU: stock()}) == ""
    sidecar = wants(1, "i", restartPolicy="Always")
    assert shortage(new_pod(initContainers=[sidecar], containers=[wants(3)]), {GPU: stock()}) != ""


def test_resources_of_nobody_are_not_ours_to_judge():
    assert shortage(new_pod(containers=[wants(2)]), {}) == ""
