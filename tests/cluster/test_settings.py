"""What follows from what was chosen: addresses, files, and each part's own record."""

from pathlib import Path

from tiphys.cluster import node
from tiphys.cluster.settings import Settings

OTHER = Settings(
    data_dir=Path("/data"),
    run_dir=Path("/run/x"),
    node_name="n1",
    nft_table="tiphys-x",
    cgroup="tiphys-x",
    service_cidr="10.97.0.0/16",
    registry_mirrors=(("docker.io", "a:5000"), ("docker.io", "b:5000"), ("quay.io", "c:5000")),
    insecure_registries=("a:5000",),
)


def test_services_of_the_cluster_itself_have_the_addresses_that_everybody_expects():
    assert (OTHER.kubernetes_address, OTHER.dns_address) == ("10.97.0.1", "10.97.0.10")


def test_only_the_default_cluster_logs_where_log_collectors_look():
    assert Settings().pod_logs == Path("/var/log/pods") and OTHER.pod_logs == Path("/data/logs/pods")


def test_files_of_a_cluster_lie_in_its_own_directories():
    files = (OTHER.database, OTHER.pki_dir, OTHER.admin_kubeconfig, OTHER.audit_log, OTHER.log)
    assert all(file.is_relative_to("/data") for file in files) and OTHER.pid_file == Path("/run/x/tiphys.pid")


def test_mirrors_of_a_registry_are_asked_in_the_order_given():
    runtime = node.runtime_settings(OTHER)
    assert runtime.mirrors == {"docker.io": ("a:5000", "b:5000"), "quay.io": ("c:5000",)}
    assert runtime.insecure_registries == ("a:5000",) and runtime.cgroup_parent == "tiphys-x"


def test_each_part_keeps_to_the_clusters_own_names():
    network, agent = node.network_settings(OTHER), node.node_settings(OTHER, "192.0.2.1")
    assert (network.table, network.run_dir) == ("tiphys-x", Path("/run/x/network"))
    assert (agent.node_ip, agent.cluster_dns, agent.log_dir) == ("192.0.2.1", ("10.97.0.10",), OTHER.pod_logs)


def test_the_agent_speaks_as_its_node():
    identity = node.identity_of(OTHER)
    assert (identity.name, identity.groups[0]) == ("system:node:n1", "system:nodes")
