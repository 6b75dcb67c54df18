"""Cluster addresses and node ports: what is taken stays taken, what is freed comes back."""

from __future__ import annotations

import pytest

from tiphys.api import errors
from tiphys.apiserver.allocators import ServiceAllocator


def service(name="web", **spec):
    return {"metadata": {"name": name}, "spec": {"type": "ClusterIP", "ports": [{"port": 80}], **spec}}


def test_a_service_gets_an_address_of_the_range():
    new = service()
    ServiceAllocator("10.0.0.0/24").create(new)
    assert new["spec"]["clusterIP"].startswith("10.0.0.") and new["spec"]["clusterIPs"] == [new["spec"]["clusterIP"]]
    assert new["spec"]["ipFamilies"] == ["IPv4"] and new["spec"]["ipFamilyPolicy"] == "SingleStack"


def test_a_full_range_is_an_error():
    allocator = ServiceAllocator("10.0.0.0/30")
    allocator.create(service("a"))
    allocator.create(service("b"))
    with pytest.raises(errors.StatusError, match="range is full"):
        allocator.create(service("c"))


def test_a_failed_write_gives_the_address_back():
    allocator = ServiceAllocator("10.0.0.0/24")
    allocator.create(service(clusterIP="10.0.0.9")).release()
    allocator.create(service(clusterIP="10.0.0.9"))
    with pytest.raises(errors.StatusError, match="provided IP is already allocated"):
        allocator.create(service(clusterIP="10.0.0.9"))


def test_a_headless_service_has_no_address():
    new = service(clusterIP="None", selector={"a": "b"})
    ServiceAllocator().create(new)
    assert new["spec"]["clusterIPs"] == ["None"]


def test_a_headless_service_without_selector_may_have_both_families():
    new = service(clusterIP="None")
    ServiceAllocator().create(new)
    assert new["spec"]["ipFamilies"] == ["IPv4", "IPv6"] and new["spec"]["ipFamilyPolicy"] == "RequireDualStack"


def test_dual_stack_cannot_be_required():
    with pytest.raises(errors.StatusError, match="not configured for dual-stack services"):
        ServiceAllocator().create(service(ipFamilyPolicy="RequireDualStack"))


def test_a_node_port_is_given_once():
    allocator = ServiceAllocator()
    allocator.create(service(type="NodePort", ports=[{"port": 80, "nodePort": 30061}]))
    with pytest.raises(errors.StatusError, match="provided port is already allocated"):
        allocator.create(service(type="NodePort", ports=[{"port": 80, "nodePort": 30061}]))


def test_a_node_port_outside_the_range_is_refused():
    with pytest.raises(errors.StatusError, match="The range of valid ports is 30000-32767"):
        ServiceAllocator().create(service(type="NodePort", ports=[{"port": 80, "nodePort": 80}]))


def test_an_update_keeps_what_the_client_left_out():
    allocator, old = ServiceAllocator(), service(type="NodePort", ports=[{"port": 80, "name": "a"}])
    allocator.create(old)
    new = service(type="NodePort", ports=[{"port": 81, "name": "a"}])
    allocator.update(new, old)
    assert new["spec"]["clusterIP"] == old["spec"]["clusterIP"]
    assert new["spec"]["ports"][0]["nodePort"] == old["spec"]["ports"][0]["nodePort"]


def test_one_port_for_two_protocols_has_one_node_port():
    new = service(type="NodePort", ports=[{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}])
    ServiceAllocator().create(new)
    assert len({port["nodePort"] for port in new["spec"]["ports"]}) == 1


def test_a_local_load_balancer_has_a_health_check_port():
    new = service(type="LoadBalancer", externalTrafficPolicy="Local")
    ServiceAllocator().create(new)
    assert 30000 <= new["spec"]["healthCheckNodePort"] <= 32767
