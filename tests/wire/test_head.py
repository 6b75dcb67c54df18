"""Heads that are kept are the heads that would be made, and nothing long is kept."""

from __future__ import annotations

import pytest

from tiphys.wire import head

PLAIN = (("Content-Type", "text/plain"),)


def test_an_opening_is_the_status_line_and_the_headers_of_the_message():
    made = head.opening(200, [*PLAIN, ("Connection", "close")])
    assert made == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    assert head.opening(404, PLAIN) == b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n"
    assert head.opening(200, PLAIN) is head.opening(200, list(PLAIN))


def test_a_header_that_would_break_the_framing_is_refused_each_time():
    for _ in range(2):
        with pytest.raises(head.BadHeader):
            head.opening(200, (("Content-Type", "text/plain\r\nevil: yes"),))


def test_what_is_long_is_not_kept_and_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(head, "_openings", kept := {})
    head.opening(200, (("Location", "/" * head.OPENING_BYTES_MAX),))
    assert not kept
    for number in range(2 * head.OPENINGS_MAX + 1):
        head.opening(200, (("Retry-After", str(number)),))
    assert len(kept) <= head.OPENINGS_MAX
