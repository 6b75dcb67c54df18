"""Logs are one entry a line; metrics come out as Prometheus reads them."""

import logging

import pytest

from tiphys.observe import logs, metrics


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    yield root
    for handler in root.handlers:
        if handler not in kept[0]:
            handler.close()
    root.handlers[:], root.level = kept[0], kept[1]


def test_a_log_line_names_time_level_and_room(tmp_path, root_logger):
    logs.configure("info", tmp_path / "deep" / "tiphys.log")
    logging.getLogger("tiphys.store").info("opened")
    assert " I tiphys.store: opened" in (tmp_path / "deep" / "tiphys.log").read_text()


def test_a_traceback_stays_with_its_entry(tmp_path, root_logger):
    logs.configure("info", tmp_path / "t.log")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("x").exception("failed")
    lines = (tmp_path / "t.log").read_text().splitlines()
    assert len(lines) > 1 and all(line.startswith("    ") for line in lines[1:])


def test_a_counter_is_rendered():
    counter = metrics.counter("tiphys_test_events", "Events of this test.", ["verb"])
    counter.labels("get").inc(3)
    assert b'tiphys_test_events_total{verb="get"} 3.0' in metrics.render()
