"""What the OCI configuration says, without a machine."""

import pytest

from tiphys.runtime import bundle, seccomp
from tiphys.runtime.cgroups import weight_of
from tiphys.runtime.door import ContainerSpec, Image, Security, StartFailed

IMAGE = Image("sha256:1", (), (), 0, env=("A=1", "B=2"), entrypoint=("/run",), command=("serve",))


def spec(**fields):
    return ContainerSpec("c", "s", "c", "i", "/log", **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ["/run", "serve"]),
        ({"args": ("x",)}, ["/run", "x"]),
        ({"command": ("/own",)}, ["/own"]),
        ({"command": ("/own",), "args": ("x",)}, ["/own", "x"]),
    ],
)
def test_command_and_arguments_replace_those_of_the_image(fields, words):
    assert bundle.arguments(spec(**fields), IMAGE) == words


def test_the_callers_environment_wins():
    assert bundle.environment(spec(env=(("B", "3"),)), IMAGE, "h")[1:] == ["HOSTNAME=h", "A=1", "B=3"]


def test_unknown_capabilities_are_named():
    with pytest.raises(StartFailed, match="NO_SUCH"):
        bundle.capabilities_of(spec(security=Security(add_capabilities=("NO_SUCH",))))


def test_the_default_filter_grows_with_capabilities():
    def allowed(*held):
        rules = seccomp.profile("default", frozenset(held))["syscalls"]
        return {
            name
            for rule in rules
            if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
            for name in rule["names"]
        }

    assert "mount" not in allowed() and "mount" in allowed("CAP_SYS_ADMIN")
    assert not {"kexec_load", "keyctl", "userfaultfd"} & allowed("CAP_SYS_ADMIN")


def test_a_profile_that_cannot_be_read_refuses_the_start(tmp_path):
    with pytest.raises(StartFailed, match="seccomp profile"):
        seccomp.profile(str(tmp_path / "none.json"), frozenset())


def test_shares_become_weights():
    assert [weight_of(shares) for shares in (2, 1024, 262144)] == [1, 39, 10000]
