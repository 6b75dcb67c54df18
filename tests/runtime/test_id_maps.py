"""Users of a sandbox's own: ranges, and what the configuration says of them."""

from pathlib import Path

from tiphys.runtime import bundle, id_maps
from tiphys.runtime.door import ContainerSpec, SandboxSpec
from tiphys.runtime.fake import fake_image
from tiphys.runtime.users import User

SANDBOX = SandboxSpec("s", "host", "pods/s", own_users=True, users=id_maps.FIRST)


def test_no_two_sandboxes_have_the_same_numbers():
    first = id_maps.free_base([])
    second = id_maps.free_base([0, first])
    assert second - first == id_maps.COUNT
    assert id_maps.free_base([second]) == first


def test_what_the_caller_says_of_the_network_counts():
    told = id_maps.sysctls({"net.ipv4.ip_unprivileged_port_start": "80"})
    assert told["net.ipv4.ip_unprivileged_port_start"] == "80"
    assert "net.ipv4.ping_group_range" in told


def test_a_container_joins_the_users_of_its_sandbox():
    place = bundle.Place("/root", "group", "/shm", user="/s/user", sysfs="/s/sysfs", users=SANDBOX.users)
    one = ContainerSpec("c", "s", "c", "app", "/log", command=("sh",))
    config = bundle.config(one, fake_image("app:1"), SANDBOX, place, User(0, 0))
    assert {"type": "user", "path": "/s/user"} in config["linux"]["namespaces"]
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": SANDBOX.users, "size": id_maps.COUNT}]
    assert next(mount for mount in config["mounts"] if mount["destination"] == "/sys")["source"] == "/s/sysfs"


def test_what_still_shows_something_is_never_deleted(tmp_path):
    kept = tmp_path / "shown" / "0"
    kept.mkdir(parents=True)
    (kept / "precious").touch()
    try:
        id_maps.hide(tmp_path / "shown")
    except OSError:
        pass
    assert (kept / "precious").exists() and not Path(tmp_path / "none").exists()
    id_maps.hide(tmp_path / "none")
