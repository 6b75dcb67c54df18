"""`tiphys doctor`: one line for each check, and packages installed when that is asked for."""

import subprocess

import pytest

from tiphys.cluster import doctor
from tiphys.cluster.doctor import Check


@pytest.fixture
def found(monkeypatch):
    checks = [Check("OK", "root", "running as root")]
    monkeypatch.setattr(doctor, "examine", lambda settings: iter(checks))
    monkeypatch.setattr(doctor, "missing_packages", lambda: ["crun"])
    return checks


@pytest.fixture
def installed(monkeypatch):
    asked = []
    monkeypatch.setattr(doctor, "install", asked.append)
    return asked


def test_a_healthy_machine_is_zero(tiphys, found):
    found.append(Check("WARN", "disk", "1.0 GiB free", "make room"))
    assert tiphys("doctor") == (0, "OK    root: running as root\nWARN  disk: 1.0 GiB free → make room\n", "")


def test_a_failure_is_one_and_shows_its_cure(tiphys, found):
    found.append(Check("FAIL", "crun", "not installed", "apt-get install crun"))
    code, told, _ = tiphys("doctor")
    assert code == 1 and told.splitlines()[-1] == "FAIL  crun: not installed → apt-get install crun"


def test_nothing_is_installed_unasked(tiphys, found, installed):
    tiphys("doctor")
    assert installed == []


def test_fixing_installs_what_is_missing(tiphys, found, installed, root):
    assert tiphys("doctor", "--fix")[0] == 0 and installed == [["crun"]]


def test_fixing_what_is_whole_needs_no_root(tiphys, found, installed, user, monkeypatch):
    monkeypatch.setattr(doctor, "missing_packages", list)
    assert tiphys("doctor", "--fix")[0] == 0 and installed == []


def test_fixing_needs_root(tiphys, found, installed, user):
    code, _, errors = tiphys("doctor", "--fix")
    assert (code, installed) == (1, []) and "installing packages needs root" in errors


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError("apt-get"), "there is no apt here: install crun by your system's means"),
        (subprocess.CalledProcessError(100, "apt-get"), "apt failed (exit code 100): install crun by hand"),
    ],
)
def test_an_apt_that_does_not_do_it_is_one_line(tiphys, found, root, monkeypatch, error, text):
    def fail(packages):
        raise error

    monkeypatch.setattr(doctor, "install", fail)
    assert tiphys("doctor", "--fix")[::2] == (1, f"tiphys doctor: {text}\n")
