"""Bombs: what is too deep, too large, too long or no language at all gets a Status soon, and costs little."""

import json
import os

import pytest

from hostile_builders import attacked_server, attacking

MAPS = "/api/v1/namespaces/default/configmaps"
DEEP = 100_000
PROTOBUF = "application/vnd.kubernetes.protobuf"
SOON_SECONDS = 5.0


def config_map(name="a", **more):
    metadata = {"name": name, "finalizers": ["test.example/hold"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **more}


def laughs():
    """Ten lists, each of nine aliases of the one before."""
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines).encode()


def merges():
    """Each map merges the one before twice."""
    lines = ["b0: &b0 {x: 1}"]
    lines += [f"b{n}: &b{n} {{<<: [*b{n - 1}, *b{n - 1}]}}" for n in range(1, 40)]
    return "\n".join(lines).encode()


BODIES = {
    "open lists": (b"[" * DEEP, "application/json", 400),
    "closed lists": (b"[" * DEEP + b"]" * DEEP, "application/json", 400),
    "3 MB of open maps": (b'{"a":' * 600_000, "application/json", 400),
    "deep data": (
        b'{"kind":"ConfigMap","data":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
        "application/json",
        400,
    ),
    "invalid UTF-8": (b'{"kind":"ConfigMap","metadata":{"name":"\xff\xfe"}}', "application/json", 422),
    "nothing": (b"", "application/json", 400),
    "zeros": (b"\0" * 10_000, "application/json", 400),
    "compressed": (b"\x1f\x8b\x08" + b"\0" * 100, "application/json", 400),
    "a long number": (b'{"metadata":{"generation":' + b"9" * 200_000 + b"}}", "application/json", 400),
    "deep YAML": (b"[" * DEEP + b"]" * DEEP, "application/yaml", 400),
    "a billion laughs": (laughs(), "application/yaml", 400),
    "an alias of itself": (b"a: &a [*a]", "application/yaml", 400),
    "merges of merges": (merges(), "application/yaml", 400),
    "a Python object": (b"!!python/object/apply:os.system ['id']", "application/yaml", 400),
    "3 MB of YAML items": (b"- a\n" * 780_000, "application/yaml", 400),
    "3 MB of YAML keys": (b"".join(b"k%d: 1\n" % n for n in range(200_000)), "application/yaml", 400),
    "random protobuf": (b"k8s\0" + bytes(range(255, 0, -1)) * 40, PROTOBUF, 400),
    "protobuf without its magic": (os.urandom(100), PROTOBUF, 400),
    "empty protobuf": (b"k8s\0", PROTOBUF, 400),
    "protobuf of endless length": (b"k8s\0\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", PROTOBUF, 400),
    "an endless varint": (b"k8s\0" + b"\xff" * 1000, PROTOBUF, 400),
    "a million protobuf fields": (b"k8s\0" + b"\x0a\x00" * 1_500_000, PROTOBUF, 400),
    "too many bytes": (b'"' + b"a" * 4 * 2**20 + b'"', "application/json", 413),
    "too large an object": (json.dumps(config_map(data={"a": "x" * 3_000_000})).encode(), "application/json", 422),
    "a long name": (json.dumps(config_map("a-" * 500_000)).encode(), "application/json", 422),
    "unknown language": (b"{}", "application/nonsense", 415),
}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    with attacked_server(tmp_path_factory.mktemp("attacked")) as server:
        yield server


@pytest.fixture
def attacker(attacked):
    with attacking(attacked) as attacker:
        yield attacker


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_gets_a_status_soon(attacker, name):
    body, kind, status = BODIES[name]
    heard = attacker.ask("POST", MAPS, body, kind=kind)
    assert (heard.status, heard.told["status"]) == (status, "Failure")
    assert heard.seconds < SOON_SECONDS and len(heard.body) < 10 * 2**20


def test_every_truncation_of_a_protobuf_body_is_refused(attacker):
    type_meta = b"\x0a\x02v1\x12\x09ConfigMap"
    raw = b"\x0a\x05\x0a\x03abc" + b"\x12\x06\x0a\x01k\x12\x01v"
    whole = b"k8s\0" + b"\x0a" + bytes([len(type_meta)]) + type_meta + b"\x12" + bytes([len(raw)]) + raw
    answers = {
        attacker.ask("POST", MAPS + "?dryRun=All", whole[:end], kind=PROTOBUF).status for end in range(len(whole))
    }
    assert attacker.ask("POST", MAPS + "?dryRun=All", whole, kind=PROTOBUF).status == 201
    assert answers <= {400, 422}


PATCHES = {
    "20,000 operations": (
        "json-patch+json",
        [{"op": "add", "path": f"/data/{n}", "value": ""} for n in range(20_000)],
        413,
    ),
    "copies of copies": (
        "json-patch+json",
        [{"op": "add", "path": "/data/x", "value": "v" * 1000}]
        + [{"op": "copy", "from": "/data", "path": f"/data/k{n}"} for n in range(60)],
        422,
    ),
    "a path of 200,000 steps": ("json-patch+json", [{"op": "add", "path": "/a" * 200_000, "value": ""}], 422),
    "an index of 5,000 digits": (
        "json-patch+json",
        [{"op": "add", "path": "/metadata/finalizers/" + "9" * 5000, "value": ""}],
        422,
    ),
    "a deep merge": ("merge-patch+json", b'{"data":' * DEEP + b"1" + b"}" * DEEP, 400),
    "a less deep merge": ("merge-patch+json", b'{"data":' * 1000 + b"1" + b"}" * 1000, 400),
    "a deep strategic merge": ("strategic-merge-patch+json", b'{"data":' * DEEP + b"1" + b"}" * DEEP, 400),
    "a deep apply": ("apply-patch+yaml", b'{"data":' * DEEP + b"1" + b"}" * DEEP, 400),
    "an apply of laughs": ("apply-patch+yaml", laughs(), 400),
}


@pytest.mark.parametrize("name", PATCHES)
def test_a_bad_patch_gets_a_status_soon(attacker, name):
    attacker.ask("POST", MAPS, config_map("patched", data={"a": "b"}))
    kind, body, status = PATCHES[name]
    heard = attacker.ask("PATCH", MAPS + "/patched?fieldManager=x", body, kind=f"application/{kind}")
    assert (heard.status, heard.told["status"]) == (status, "Failure")
    assert heard.seconds < SOON_SECONDS


def test_doubled_keys_cost_linear_time(attacker):
    container = {"name": "c", "image": "i", "env": [{"name": "A", "value": "x"}] * 40_000}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    heard = attacker.ask("POST", "/apis/apps/v1/namespaces/default/deployments?dryRun=All", body)
    assert (heard.status, heard.seconds < SOON_SECONDS) == (201, True), heard.seconds


QUERIES = {
    "a long selector": ("labelSelector=" + "a," * 200_000 + "a", 200),
    "a long set": ("labelSelector=a+in+(" + ",".join(f"v{n}" for n in range(60_000)) + ")", 200),
    "many parentheses": ("labelSelector=a+in+" + "(" * 100_000, 400),
    "a long field selector": ("fieldSelector=" + "metadata.name!%3Da," * 20_000 + "metadata.name!%3Da", 200),
    "many parameters": ("&".join(f"a{n}=1" for n in range(60_000)), 200),
    "a false continue": ("limit=1&continue=" + "A" * 100_000, 400),
    "a line of a megabyte": ("a" * 2**20, 414),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_long_query_is_answered_soon(attacker, name):
    query, status = QUERIES[name]
    heard = attacker.ask("GET", f"{MAPS}?{query}")
    assert (heard.status, heard.seconds < SOON_SECONDS) == (status, True), heard.seconds


def test_long_queries_leave_nothing_behind(attacker, attacked):
    def ask(number):
        return attacker.ask("GET", f"{MAPS}?labelSelector=a{number}," + "a," * 100_000 + "a").status

    assert [ask(number) for number in range(3)] == [200] * 3
    before = attacked.rss_mb
    assert [ask(number) for number in range(3, 13)] == [200] * 10
    assert attacked.rss_mb - before < 20


HEADERS = {
    "10,000 headers": (b"".join(b"X-%d: 1\r\n" % n for n in range(10_000)), 200),
    "150,000 headers": (b"".join(b"X-%d: 1\r\n" % n for n in range(150_000)), 431),
    "10,000 times one header": (b"X: 1\r\n" * 10_000, 200),
    "140,000 times one header": (b"X: 1\r\n" * 140_000, 431),
    "a header of two megabytes": (b"X: " + b"y" * 2**21 + b"\r\n", 431),
    "20,000 groups": (b"Impersonate-User: a\r\n" + b"Impersonate-Group: g\r\n" * 20_000, 403),
    "a long list of types": (b"Accept: " + b"a/b;q=0.1," * 20_000 + b"\r\n", 406),
}


@pytest.mark.parametrize("name", HEADERS)
def test_many_headers_are_answered_soon(attacker, name):
    lines, status = HEADERS[name]
    heard = attacker.ask("GET", MAPS, headers=lines)
    assert (heard.status, heard.seconds < SOON_SECONDS) == (status, True), heard.seconds


OPENING = f"POST {MAPS} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer secret\r\n".encode()
CHUNKED = OPENING + b"Transfer-Encoding: chunked\r\n\r\n"
NONSENSE = {
    "no HTTP": b"\0" * 10_000,
    "a chunk size that is none": CHUNKED + b"zz\r\n",
    "a chunk longer than the number": CHUNKED + b"1" * 40 + b"\r\n",
    "half a million chunks": CHUNKED + b"1\r\na\r\n" * 500_000 + b"0\r\n\r\n",
    "a long chunk extension": CHUNKED + b"1;" + b"x" * 2**21 + b"\r\na\r\n0\r\n\r\n",
    "two lengths": OPENING + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length and chunks": OPENING + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a negative length": OPENING + b"Content-Length: -5\r\n\r\n",
    "a length of 5,000 digits": OPENING + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "bytes in the path": b"GET /api/v1/\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    "a later HTTP": b"GET / HTTP/3.7\r\nHost: a\r\n\r\n",
    "a long token": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer "
    + b"a.b.c" * 100_000
    + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", NONSENSE)
def test_what_is_no_request_gets_a_status_and_the_end(attacker, name):
    heard = attacker.send(NONSENSE[name])
    assert heard.told["status"] == "Failure" and 400 <= heard.status < 506
    assert heard.seconds < SOON_SECONDS
