"""The images of the machine for the command: beside a running server, and never one that a container was made of."""

import json

import pytest

from tiphys.cluster import images, node
from tiphys.cluster.settings import Settings
from tiphys.runtime.containers import RECORD
from tiphys.runtime.door import Image, ImageInUse, ImageMissing
from tiphys.runtime.storage import Stored

APP = Image("sha256:" + "ab" * 32, ("docker.io/library/app:1",), (), 1)


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "run").mkdir()
    return Settings(
        data_dir=tmp_path, run_dir=tmp_path / "run", storage_root=tmp_path / "images", storage_run=tmp_path / "imagerun"
    )


@pytest.fixture
def store(settings, monkeypatch):
    """Holds APP; `removed` are the images that went."""
    with images.opened(settings) as opened:
        opened.removed = []

        async def remove(image):
            opened.removed.append(image)

        monkeypatch.setattr(
            opened._storage, "find", lambda name: Stored(APP, "") if name in (APP.id, "app:1") else None
        )
        monkeypatch.setattr(opened._images, "remove", remove)
        yield opened


def test_an_empty_store_has_no_images(settings):
    with images.opened(settings) as opened:
        assert list(opened.all()) == []


def test_it_leaves_nothing_of_itself(settings, tmp_path):
    before = sorted(tmp_path.iterdir())
    with images.opened(settings):
        assert len(sorted(tmp_path.iterdir())) == len(before) + 1
    assert sorted(tmp_path.iterdir()) == before


async def test_an_image_that_nothing_uses_goes(store):
    await store.remove("app:1")
    assert store.removed == [APP]


async def test_an_image_that_is_not_here_is_named(store):
    with pytest.raises(ImageMissing, match="there is no image web:2 on this machine"):
        await store.remove("web:2")


async def test_an_image_in_use_names_the_container(store, settings):
    container = node.runtime_settings(settings).containers_dir / "c1"
    container.mkdir(parents=True)
    (container / RECORD).write_text(json.dumps({"image_id": APP.id}))
    with pytest.raises(ImageInUse, match="used by container c1"):
        await store.remove("app:1")
    assert store.removed == []
