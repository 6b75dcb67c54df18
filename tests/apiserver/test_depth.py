"""Documents of any depth get an answer, and never a fault."""

import logging
from typing import Any

import pytest

PATH = "/apis/apps/v1/namespaces/shop/controllerrevisions"

CLASSES = "/apis/resource.k8s.io/v1/deviceclasses"


def revision(depth, shape):
    opening, closing = {"object": (b'{"a":', b"}"), "list": (b"[", b"]")}[shape]
    head = b'{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"r"},"revision":1,"data":'
    return head + opening * depth + b"1" + closing * depth + b"}"


@pytest.mark.parametrize("shape", ["object", "list"])
@pytest.mark.parametrize("kind", ["POST", "PUT", "merge", "strategic", "apply"])
async def test_each_depth_is_stored_or_refused(ask, kind, shape, caplog):
    await ask("POST", PATH, {"metadata": {"name": "r"}, "revision": 1, "data": {"b": 1}})
    for depth in (10, 100, 200, 240, 246, 250, 254, 260, 400, 900, 5000):
        sent = revision(depth, shape)
        to = PATH if kind == "POST" else f"{PATH}/r?fieldManager=m"
        answer = await (ask(kind, to, sent) if kind in ("POST", "PUT") else ask.patch(kind, to, sent))
        assert answer.status < 500 and answer.status in (200, 201, 400, 409, 422), (depth, answer.body)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_patches_that_go_on_where_the_object_ends_are_refused_in_the_end(ask):
    config = [{"opaque": {"driver": "d.example.com", "parameters": {"a": {}}}}]
    await ask("POST", CLASSES, {"metadata": {"name": "c"}, "spec": {"config": config}})
    deeper: dict[str, Any] = {}
    for _ in range(40):
        deeper = {"a": deeper}
    path, answers = "/spec/config/0/opaque/parameters/a", []
    for _ in range(10):
        patch = [{"op": "add", "path": f"{path}/a", "value": deeper}]
        answers.append((await ask.patch("json", f"{CLASSES}/c", patch)).status)
        path += "/a" * 41
    assert set(answers[:4]) == {200} and set(answers[6:]) <= {400, 422}
