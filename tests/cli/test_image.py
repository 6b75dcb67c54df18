"""`tiphys image`: the arguments of each action and what it says; the store is a small fake."""

from contextlib import contextmanager

import pytest

from tiphys.cluster import images
from tiphys.runtime.door import Image, ImageInUse, ImageMissing, PullFailed

APP = Image("sha256:" + "ab" * 32, ("docker.io/library/app:1", "localhost/app:latest"), (), 12_340_000)
BARE = Image("sha256:" + "cd" * 32, (), (), 500_000)


class Store:
    def __init__(self):
        self.asked, self.failure = [], None

    def all(self):
        return [APP, BARE]

    async def _do(self, *words):
        self.asked.append(words)
        if self.failure is not None:
            raise self.failure

    async def pull(self, reference):
        await self._do("pull", reference)
        return APP

    async def load(self, path):
        await self._do("load", path)
        return [APP]

    async def remove(self, reference):
        await self._do("remove", reference)


@pytest.fixture
def store(root, monkeypatch):
    made = Store()

    @contextmanager
    def opened(settings):
        yield made

    monkeypatch.setattr(images, "opened", opened)
    return made


def test_without_root_it_says_so(tiphys, user):
    assert "the image store needs root" in tiphys("image", "ls")[2]


def test_a_list_has_a_line_for_each_name(tiphys, store):
    assert tiphys("image", "ls")[1].splitlines() == [
        "docker.io/library/app:1\tabababababab\t12.3 MB",
        "localhost/app:latest\tabababababab\t12.3 MB",
        "<none>\tcdcdcdcdcdcd\t0.5 MB",
    ]


def test_pulling_gives_the_id(tiphys, store):
    assert tiphys("image", "pull", "app:1") == (0, f"{APP.id}\n", "")
    assert store.asked == [("pull", "app:1")]


def test_loading_gives_the_names(tiphys, store, tmp_path):
    (tmp_path / "app.tar").touch()
    assert tiphys("image", "load", tmp_path / "app.tar")[1].splitlines() == list(APP.names)


def test_an_archive_that_is_not_there_is_named(tiphys, store, tmp_path):
    assert tiphys("image", "load", tmp_path / "none")[2] == f"tiphys image: there is no file {tmp_path / 'none'}\n"


@pytest.mark.parametrize("failure", [PullFailed("manifest unknown"), ImageMissing("no such"), ImageInUse("used by c")])
def test_failures_are_one_line(tiphys, store, failure):
    store.failure = failure
    code, told, errors = tiphys("image", "rm", "app:1")
    assert (code, told, errors) == (1, "", f"tiphys image: {failure}\n")


def test_an_action_is_needed(tiphys, store):
    with pytest.raises(SystemExit):
        tiphys("image")
