"""Who a container runs as, read from the image's own files."""

from tiphys.runtime.door import Security
from tiphys.runtime.users import User, resolve


def image(root):
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("worker:x:1500:1500::/home/worker:/bin/sh\n")
    (root / "etc/group").write_text("worker:x:1500:\nextra:x:1600:worker\n")
    return root


def test_groups_of_the_image_are_kept_unless_only_those_that_are_named_count(tmp_path):
    root = image(tmp_path)
    assert resolve(root, "worker", Security(supplemental_groups=(7,))) == User(1500, 1500, (7, 1600))
    assert resolve(root, "worker", Security(supplemental_groups=(7,), strict_groups=True)) == User(1500, 1500, (7,))
