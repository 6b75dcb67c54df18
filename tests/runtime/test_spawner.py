"""The copy of crun that is handed to whoever executes it."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from tiphys.runtime import spawner
from tiphys.runtime.spawner import Spawner


def test_threads_that_ask_at_once_get_the_same_copy(monkeypatch):
    def slow_copy(program):
        time.sleep(0.01)
        return os.memfd_create(program.name)

    monkeypatch.setattr(spawner, "_sealed_copy", slow_copy)
    one = Spawner(hybrid=False)
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: one.descriptor, range(8)))
    one.close()
    assert len(found) == 1
