"""A server that may die, and nothing left of it."""

import shutil
from pathlib import Path

import pytest

from durable_builders import DurableServer
from tiphys.cli.options import run_dir_of


@pytest.fixture
def server(tmp_path):
    """Not started yet."""
    durable = DurableServer(tmp_path)
    yield durable
    durable.stop()
    shutil.rmtree(Path(run_dir_of(durable.data)), ignore_errors=True)
