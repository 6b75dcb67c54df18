"""The audit log: one line a call, never a secret, bounded in memory and on disk."""

from __future__ import annotations

import orjson
import pytest

from apiserver.security_builders import BOB, call
from tiphys.api import resources
from tiphys.apiserver import audit
from tiphys.apiserver.audit import AuditLog, AuditSettings, event
from tiphys.wire.messages import Identity

PODS = resources.get("", "v1", "pods")


def told(target="/api/v1/namespaces/shop/pods/web", **fields):
    asked = call("GET", target, resource=PODS, namespace="shop", name="web", **fields)
    return event(asked, 200, 0.5, 1_800_000_000.0)


def test_a_line_says_who_did_what():
    line = told()
    assert (line["verb"], line["user"]["username"], line["responseStatus"]["code"]) == ("get", "bob", 200)
    assert line["objectRef"] == {"resource": "pods", "namespace": "shop", "name": "web", "apiVersion": "v1"}
    assert line["requestReceivedTimestamp"] == "2027-01-15T07:59:59.500000Z"


def test_who_really_speaks_is_told():
    line = told(impersonator=Identity("admin"))
    assert (line["user"]["username"], line["impersonatedUser"]["username"]) == ("admin", "bob")


def test_headers_and_secrets_in_the_query_are_not_written():
    line = told("/api/v1/pods?token=s3cret&watch=1", headers={"authorization": "Bearer s3cret"})
    assert "s3cret" not in str(line) and "watch=1" in line["requestURI"]


def test_no_two_lines_have_the_same_id():
    assert told()["auditID"] != told()["auditID"]


def written(path):
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_what_waits_is_written_at_the_end(tmp_path):
    log = AuditLog(AuditSettings(tmp_path / "deep" / "audit.log"))
    for _ in range(100):
        log.record(call(user=BOB, path="/version"), 200, 0.1)
    log.record(call(path="/livez"), 200, 0.1)
    log.close()
    assert len(written(tmp_path / "deep" / "audit.log")) == 100
    assert (tmp_path / "deep" / "audit.log").stat().st_mode & 0o777 == 0o600


def test_what_does_not_fit_is_counted_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "QUEUE_MAX", 3)
    log = AuditLog(AuditSettings(tmp_path / "audit.log"))
    for _ in range(10):
        log.record(call(path="/version"), 200, 0.1)
    assert log.dropped == 7
    log.close()
    lines = written(tmp_path / "audit.log")
    assert len(lines) == 4 and lines[-1]["count"] == 7


def test_old_files_are_kept_up_to_a_number(tmp_path):
    path = tmp_path / "audit.log"
    log = AuditLog(AuditSettings(path, file_bytes_max=100, files_max=3))
    for number in range(5):
        log._append(f"{number}\n".encode() * 40)
    log.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["audit.log", "audit.log.1", "audit.log.2"]
    assert path.read_bytes().startswith(b"4") and (tmp_path / "audit.log.2").read_bytes().startswith(b"2")


def test_a_full_disk_is_said_once_and_survived(tmp_path, monkeypatch, caplog):
    log = AuditLog(AuditSettings(tmp_path / "audit.log"))
    monkeypatch.setattr(log, "_append", lambda data: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    for _ in range(2):
        log._queue.append(b"{}")
        log._write_waiting()
    assert sum("No space left" in record.message for record in caplog.records) == 1
    assert log.dropped >= 2
    log.close()


@pytest.mark.parametrize("verb", ["watch", "get"])
def test_a_watch_is_told_when_it_begins(verb):
    assert told(verb=verb)["stage"] == ("ResponseStarted" if verb == "watch" else "ResponseComplete")


@pytest.mark.parametrize(("peer", "address"), [("10.0.0.1:5", "10.0.0.1"), ("[::1]:5", "::1")])
def test_the_address_is_told_without_its_port(peer, address):
    asked = call(path="/version")
    asked.request.peer = peer
    assert event(asked, 200, 0.1, 0.0)["sourceIPs"] == [address]
