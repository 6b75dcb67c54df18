"""The command line: what is asked for is imported, and failures are one line."""

import dataclasses
import sys

import pytest

from tiphys import __version__
from tiphys.cli import main, options
from tiphys.cluster import saved
from tiphys.cluster.settings import DATA_DIR


def parsed(*arguments):
    return options.settings(main.parser(arguments[0]).parse_args(arguments))


def test_the_version_names_the_api_that_is_spoken(capsys):
    assert main.main(["version"]) == 0
    assert capsys.readouterr().out == f"tiphys {__version__} (Kubernetes API v1.36)\n"


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        main.main(["--help"])
    told = capsys.readouterr().out
    assert all(name in told for name in main.COMMANDS)


def test_only_the_command_that_is_asked_for_is_imported():
    sys.modules.pop("tiphys.cli.serve", None)
    main.parser("version")
    assert "tiphys.cli.serve" not in sys.modules


def test_a_usage_error_is_one_line(capsys, tmp_path):
    arguments = ["serve", "--no-node", "--memory", "--token-file", str(tmp_path / "none")]
    assert main.main(arguments) == 1
    assert capsys.readouterr().err == f"tiphys serve: the token file {tmp_path / 'none'} does not exist\n"


def test_another_data_directory_gets_names_of_its_own(tmp_path):
    mine, other = (parsed("serve", "--data-dir", str(tmp_path / place / "data")) for place in ("a", "b"))
    assert mine.data_dir == tmp_path / "a" / "data" != DATA_DIR
    assert mine.nft_table == mine.cgroup and mine.nft_table.startswith("tiphys-data-")
    assert mine.nft_table != other.nft_table and mine.run_dir != other.run_dir


def test_a_mirror_needs_both_ends():
    with pytest.raises(main.UsageError, match="REGISTRY=HOST"):
        parsed("serve", "--registry-mirror", "docker.io")


def test_what_is_not_said_stays_as_it_was(tmp_path):
    saved.save(dataclasses.replace(parsed("serve", "--data-dir", str(tmp_path), "--port", "7001"), bridge="b7"))
    again = parsed("serve", "--data-dir", str(tmp_path), "--node-port", "7002")
    assert (again.port, again.node_port, again.bridge) == (7001, 7002, "b7")


def test_the_place_of_images_may_be_said_last(tmp_path):
    options = main.parser("image").parse_args(["image", "ls", "--data-dir", str(tmp_path)])
    assert options.data_dir == tmp_path
