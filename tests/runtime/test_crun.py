"""Real containers keep the contract."""

import os

import pytest

from runtime.suite import IMAGE, RuntimeContract
from tiphys.runtime import kernel
from tiphys.runtime.door import ImageInUse


@pytest.fixture
def runtime(real):
    return real


@pytest.mark.host
class TestCrunRuntime(RuntimeContract):
    async def test_an_images_files_are_shown_and_cannot_be_changed_or_executed(self, real, tmp_path):
        target = tmp_path / "files"
        target.mkdir()
        try:
            for _ in range(2):
                await real.mount_image(IMAGE, str(target))
            assert os.statvfs(target).f_flag & 0xF == os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC
            assert sorted(os.listdir(target)) == ["bin", "dev", "etc", "proc", "sys", "tmp"]
            with pytest.raises(ImageInUse, match="are mounted"):
                await real.remove_image(IMAGE)
        finally:
            kernel.unmount(target)
        assert os.listdir(target) == []
