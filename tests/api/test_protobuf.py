"""Bodies in Kubernetes' protobuf become the JSON that Kubernetes would make of them."""

import tracemalloc

import pytest

from tiphys.api import codec, schema
from tiphys.api.conform import conform
from tiphys.api.protobuf import MAGIC, ProtobufError, decode


def varint(number):
    made = b""
    while number > 0x7F:
        made += bytes([number & 0x7F | 0x80])
        number >>= 7
    return made + bytes([number])


def field(number, value):
    """A length-delimited field for bytes and text, a varint for numbers."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value & (1 << 64) - 1)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def envelope(api_version, kind, *fields):
    return MAGIC + field(1, field(1, api_version) + field(2, kind)) + field(2, b"".join(fields)) + field(3, "")


def meta(name, *more):
    return field(1, field(1, name) + b"".join(more))


def test_a_config_map_with_its_map():
    entry = field(2, field(1, "k") + field(2, "v"))
    obj = decode(
        envelope("v1", "ConfigMap", meta("a", field(3, "shop"), field(11, field(1, "l") + field(2, "1"))), entry)
    )
    assert obj == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "a", "namespace": "shop", "labels": {"l": "1"}},
        "data": {"k": "v"},
    }


def test_bytes_are_base64_and_times_are_text():
    data = field(2, field(1, "k") + field(2, b"\x00\xff"))
    created = field(8, field(1, 1_700_000_000) + field(2, 0))
    obj = decode(envelope("v1", "Secret", meta("a", created), data))
    assert obj["data"] == {"k": "AP8="} and obj["metadata"]["creationTimestamp"] == "2023-11-14T22:13:20Z"


def test_a_pod_with_quantities_ports_and_a_probe():
    limits = field(1, field(1, "memory") + field(2, field(1, "64Mi")))
    port = field(6, field(1, "http") + field(3, 80) + field(4, "TCP"))
    probe = field(10, field(1, field(2, field(1, "/") + field(2, field(1, 1) + field(2, 0) + field(3, "http")))))
    spec = field(2, field(2, field(1, "c") + field(2, "nginx") + port + field(8, limits) + probe))
    (container,) = decode(envelope("v1", "Pod", meta("p"), spec))["spec"]["containers"]
    assert container["resources"] == {"limits": {"memory": "64Mi"}}
    assert container["ports"][0]["containerPort"] == 80
    assert container["livenessProbe"]["httpGet"]["port"] == "http"


def test_zero_values_that_json_leaves_out_are_left_out_but_pointers_are_kept():
    spec = field(2, field(1, 0) + field(3, field(4, b"")))
    obj = decode(envelope("apps/v1", "Deployment", meta("d", field(2, "")), spec))
    assert obj["metadata"] == {"name": "d"}
    assert obj["spec"]["replicas"] == 0


def test_negative_numbers_take_ten_bytes():
    spec = field(2, field(4, -5))
    assert decode(envelope("v1", "Pod", meta("p"), spec))["spec"]["terminationGracePeriodSeconds"] == -5


def test_unknown_fields_are_skipped():
    assert decode(envelope("v1", "ConfigMap", meta("a"), field(999, "new")))["metadata"] == {"name": "a"}


def test_the_codec_gives_what_the_typed_decoder_takes():
    parsed = codec.parse(envelope("v1", "ConfigMap", meta("a")), codec.PROTOBUF)
    message = schema.message_of("", "v1", "ConfigMap")
    assert conform(parsed.object, message).object["metadata"]["name"] == "a"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        MAGIC + b"\x0a\xff",
        MAGIC + b"\x0a",
        MAGIC + b"\xff" * 12,
        envelope("v1", "ConfigMap", meta("a"))[:-12],
        envelope("v1", "Nothing", meta("a")),
        envelope("v1", "ConfigMap", field(1, field(1, b"\xff\xfe"))),
        envelope("v1", "ConfigMap", field(1, 7)),
        envelope("v1", "ConfigMap", b"\x0b"),
    ],
)
def test_bytes_that_are_no_message_are_refused(body):
    with pytest.raises(ProtobufError):
        decode(body)


def test_a_number_of_the_wrong_length_is_refused():
    spec = field(2, field(7, field(4, field(1, field(19, b"\x00")))))
    with pytest.raises(ProtobufError, match="unexpected EOF"):
        decode(envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", meta("a"), spec))


def test_a_bomb_of_nested_messages_is_refused_quickly():
    nested = b""
    for _ in range(200):
        nested = field(28, nested)  # JSONSchemaProps.not
    spec = field(2, field(7, field(4, field(1, nested))))
    with pytest.raises(ProtobufError, match="nested deeper"):
        decode(envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", meta("a"), spec))


def test_a_body_of_countless_tiny_fields_costs_no_memory():
    body = envelope("v1", "ConfigMap", b"\x78\x01" * 50_000)
    tracemalloc.start()
    try:
        assert decode(body) == {"kind": "ConfigMap", "apiVersion": "v1"}
        assert tracemalloc.get_traced_memory()[1] < 2 * len(body)
    finally:
        tracemalloc.stop()
