"""What pods take on the disk, and their limits."""

from node_builders import container, new_pod
from tiphys.node.pressure.disk_usage import Places, PodDiskUsage, of_pod
from tiphys.node.pressure.storage_limits import is_limited, outgrown
from tiphys.runtime.disk_usage import DiskUsage


def limited(name="c", limit="1Mi"):
    return container(name, resources={"limits": {"ephemeral-storage": limit}})


def test_a_container_takes_its_layer_and_its_logs(tmp_path):
    for name in ("layer", "logs", "cache"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(b"x" * 4096)
    found = of_pod(Places({"c": tmp_path / "layer"}, {"c": tmp_path / "logs"}, {"cache": tmp_path / "cache"}))
    assert found.containers["c"].inodes == 4 and found.volumes["cache"].inodes == 2 and found.total.inodes == 6


def test_an_empty_dir_may_not_outgrow_its_limit():
    pod = new_pod(volumes=[{"name": "cache", "emptyDir": {"sizeLimit": "4Ki"}}, {"name": "free", "emptyDir": {}}])
    text = 'Usage of EmptyDir volume "cache" exceeds the limit "4Ki". '
    assert is_limited(pod) and outgrown(pod, PodDiskUsage({}, {"cache": DiskUsage(4096, 1)})) == ""
    assert outgrown(pod, PodDiskUsage({}, {"cache": DiskUsage(8192, 1)})) == text
    assert not is_limited(new_pod(volumes=[{"name": "m", "emptyDir": {"sizeLimit": "4Ki", "medium": "Memory"}}]))


def test_a_container_may_not_outgrow_its_limit():
    pod = new_pod(containers=[limited(), container("free")])
    text = 'Container c exceeded its local ephemeral storage limit "1Mi". '
    assert (
        is_limited(pod)
        and outgrown(pod, PodDiskUsage({"c": DiskUsage(2 << 20), "free": DiskUsage(9 << 20)}, {})) == text
    )


def test_a_pod_is_limited_as_a_whole_when_each_container_is():
    pod = new_pod(containers=[limited("a"), limited("b")])
    taken = PodDiskUsage({"a": DiskUsage(1 << 20), "b": DiskUsage(1 << 20)}, {"cache": DiskUsage(1 << 20)})
    assert outgrown(pod, taken) == "Pod ephemeral local storage usage exceeds the total limit of containers 2097152. "
