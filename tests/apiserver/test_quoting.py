"""The mixture of sorted and struct-ordered fields in messages about patches."""

from tiphys.api import schema
from tiphys.apiserver.registry.quoting import opened_by_merge, opened_by_operations, quote

DEPLOYMENT = schema.message_of("apps", "v1", "Deployment")
DOCUMENT = {
    "metadata": {"name": "web", "creationTimestamp": "now"},
    "spec": {"selector": {}, "replicas": "three"},
    "kind": "Deployment",
}


def test_untouched_parts_keep_the_structs_order():
    assert quote(DOCUMENT, DEPLOYMENT, {()}) == (
        '{"kind":"Deployment","metadata":{"name":"web","creationTimestamp":"now"},'
        '"spec":{"replicas":"three","selector":{}}}'
    )


def test_opened_parts_are_sorted():
    opened = opened_by_operations([{"op": "remove", "path": "/metadata/x"}])
    assert '"metadata":{"creationTimestamp":"now","name":"web"}' in quote(DOCUMENT, DEPLOYMENT, opened)


def test_a_merge_patch_opens_what_it_names():
    assert opened_by_merge({"spec": {"replicas": 1}}) == {(), ("spec",)}
