"""Repeated keys and depth: what a body may do that a clean one does not."""

import pytest

from tiphys.api import codec, schema
from tiphys.api.conform import conform


def config_map():
    return schema.message_of("", "v1", "ConfigMap")


def test_a_repeated_object_is_read_into_the_first():
    parsed = codec.parse(b'{"data":{"k":"1","k":"2"},"data":{"z":"3"}}', codec.JSON)
    conformed = conform(parsed.object, config_map(), repeated=parsed.repeated)
    assert conformed.object["data"] == {"k": "2", "z": "3"}
    assert conformed.strict == ['duplicate field "data.k"', 'duplicate field "data"']


def test_a_document_deeper_than_anything_real_is_refused():
    message = schema.message_of("", "v1", "ConfigMap")
    body = b'{"kind":"ConfigMap","kind":"ConfigMap","x":' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}"
    with pytest.raises(ValueError, match="exceeded max depth"):
        conform(codec.parse(body, codec.JSON).object, message, repeated=True)
