"""Each check says how things stand, and what cures what is wrong. The machine is described by files and small fakes."""

import collections
import socket
import sqlite3
import subprocess

import pytest

from tiphys.cluster import doctor, process
from tiphys.cluster.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data", run_dir=tmp_path / "run", bind="127.0.0.1", port=1, node_port=2)


def only(checks):
    (check,) = checks
    return check


def test_all_checks_are_made_in_order(settings):
    names = [check.name for check in doctor.examine(settings)]
    assert names[:3] == ["root", "kernel", "crun"] and names[-2:] == ["database", "server"]
    assert {"cgroups", "overlay", "forwarding", "disk", "memory"} <= set(names)


def test_every_failure_and_warning_says_what_cures_it(settings, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(doctor.platform, "release", lambda: "4.19.0-26-amd64")
    monkeypatch.setattr(doctor.shutil, "which", lambda command, path=None: None)
    monkeypatch.setattr(doctor, "_has_nftables", lambda: False)
    monkeypatch.setattr(doctor, "_is_free", lambda address, port: False)
    monkeypatch.setattr(doctor, "MEMORY_BYTES_MIN", 1 << 60)
    monkeypatch.setattr(doctor, "DISK_BYTES_MIN", 1 << 60)
    checks = list(doctor.examine(settings))
    bad = {check.name for check in checks if check.state != doctor.OK}
    ports = {"port 1", "port 2", "port 80", "port 443"}
    assert bad == {"root", "kernel", *doctor.COMMANDS, *doctor.OPTIONAL, "libnftables", *ports, "disk", "memory"}
    assert all(check.cure for check in checks if check.name in bad)


@pytest.mark.parametrize(
    ("release", "state"), [("5.4.0", "OK"), ("6.18.0-rc1", "OK"), ("5.3.18-150300", "FAIL"), ("4.19.0", "FAIL")]
)
def test_the_kernel_must_be_young_enough(settings, monkeypatch, release, state):
    monkeypatch.setattr(doctor.platform, "release", lambda: release)
    assert only(doctor._kernel(settings)).state == state


def test_a_missing_command_names_its_package(settings, monkeypatch):
    found = {"crun": "/bin/true", "conmon": "/bin/true", "skopeo": "/bin/true"}
    monkeypatch.setattr(doctor.shutil, "which", found.get)
    check = list(doctor._commands(settings))[-1]
    assert (check.state, check.name) == ("FAIL", "nft") and "apt-get install nftables" in check.cure


def test_packages_are_missing_once_each(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda command: None)
    monkeypatch.setattr(doctor, "_has_nftables", lambda: False)
    assert doctor.missing_packages() == ["conmon", "crun", "nftables", "skopeo"]


def test_installing_is_apt_without_questions(monkeypatch):
    ran = []
    monkeypatch.setattr(doctor.subprocess, "run", lambda command, **more: ran.append((command, more["env"])))
    doctor.install(["crun"])
    assert [command[:2] for command, _ in ran] == [["apt-get", "update"], ["apt-get", "install"]]
    assert ran[1][0][-1] == "crun" and ran[1][1]["DEBIAN_FRONTEND"] == "noninteractive"


def test_a_kernel_that_refuses_packet_rules_is_told(settings, monkeypatch):
    refused = subprocess.CompletedProcess(["nft"], 1)
    monkeypatch.setattr(doctor, "_has_nftables", lambda: True)
    monkeypatch.setattr(doctor.subprocess, "run", lambda *command, **more: refused)
    assert only(doctor._packet_rules(settings)).state == "FAIL"


def test_a_library_that_cannot_be_loaded_is_missing(monkeypatch):
    def absent():
        raise OSError("libnftables.so.1: cannot open shared object file")

    monkeypatch.setattr("tiphys.network.nftables.engine", absent)
    assert not doctor._has_nftables()


def test_a_taken_port_names_the_option_that_chooses_another(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(run_dir=tmp_path, bind="127.0.0.1", port=port, node_port=0)
        api, agent = doctor._ports(settings)
    assert (api.state, api.cure, agent.state) == ("FAIL", "stop it, or choose with --port", "OK")


def test_our_own_ports_are_no_trouble(settings):
    process.write_pid_file(settings.pid_file)
    assert {check.state for check in doctor._ports(settings)} == {"OK"}
    assert "in use by the cluster" in next(doctor._ports(settings)).found
    assert "running (pid" in only(doctor._server(settings)).found


def test_little_disk_is_a_warning_at_the_nearest_place_that_exists(settings, tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: usage(1 << 30))
    check = only(doctor._disk(settings))
    assert (check.state, check.found) == ("WARN", f"1.0 GiB free at {tmp_path}")


def test_a_sound_database_is_told_from_a_damaged_one_and_from_none(settings):
    assert "none yet" in only(doctor._database(settings)).found
    settings.data_dir.mkdir()
    with sqlite3.connect(settings.database) as made:
        made.execute("create table t (a)")
    made.close()
    assert only(doctor._database(settings)).found.endswith("is sound")
    settings.database.write_bytes(b"this is no database" * 100)
    check = only(doctor._database(settings))
    assert check.state == "FAIL" and "file is not a database" in check.found and check.cure
