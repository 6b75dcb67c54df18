"""References are written out as the distribution project does."""

import pytest

from tiphys.runtime import names
from tiphys.runtime.door import InvalidImageName

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("written", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.25", "docker.io/library/nginx:1.25"),
        ("team/app", "docker.io/team/app:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("127.0.0.1:5000/a/b/c:v1", "127.0.0.1:5000/a/b/c:v1"),
        ("[::1]:5000/app:v1", "[::1]:5000/app:v1"),
        (f"ghcr.io/x/y@{DIGEST}", f"ghcr.io/x/y@{DIGEST}"),
        (f"ghcr.io/x/y:v1@{DIGEST}", f"ghcr.io/x/y:v1@{DIGEST}"),
    ],
)
def test_writes_a_reference_out(written, full):
    assert str(names.parse(written)) == full


@pytest.mark.parametrize("written", ["", "Nginx", "a b", "x:", "x@sha256:12", "-x", "a/../b", "x:-", "a//b", "x" * 300])
def test_refuses_what_is_no_reference(written):
    with pytest.raises(InvalidImageName, match="couldn't parse image name"):
        names.parse(written)


def test_a_digest_wins_over_a_tag_when_pulling():
    assert names.parse(f"app:v1@{DIGEST}").pullable == f"docker.io/library/app@{DIGEST}"


def test_tells_an_id_from_a_name():
    assert names.image_id("sha256:" + "b" * 64) == names.image_id("b" * 64) == "b" * 64
    assert names.image_id("app:v1") == ""
