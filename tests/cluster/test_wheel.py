"""The wheel: built, installed into a fresh environment without network, and used from there."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = next(path for path in sys.path if path.endswith("site-packages"))
NEEDED = ("tiphys/py.typed", "tiphys/api/data/schema.txt", "tiphys/api/data/definitions.json.xz")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that the checkout gets no build directory."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    source.mkdir()
    names = ("pyproject.toml", "README.md", "LICENSE", "src")
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in names if (ROOT / name).exists()), source], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "-w", str(directory), str(source)], check=True, capture_output=True)
    return next(directory.glob("tiphys-*.whl"))


@pytest.fixture(scope="module")
def tiphys(wheel, tmp_path_factory):
    """Run the installed command, with this environment's dependencies; gives code, output and errors."""
    place = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(place)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True)

    def run(*words, code=""):
        environment = {**os.environ, "PYTHONPATH": f"{place}:{SITE}", "PYTHONSAFEPATH": "1"}
        program = [sys.executable, "-S", *(("-c", code) if code else (str(place / "bin" / "tiphys"), *words))]
        done = subprocess.run(program, env=environment, capture_output=True, text=True, cwd="/", timeout=20)
        return done.returncode, done.stdout, done.stderr

    return run


def test_the_wheel_holds_its_data_and_nothing_of_the_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert set(NEEDED) <= set(names)
    assert [name for name in names if name.startswith(("tests", "build", "benchmarks"))] == []
    data = [path for path in (ROOT / "src" / "tiphys").rglob("*") if path.suffix in (".json", ".xz", ".txt")]
    assert {str(path.relative_to(ROOT / "src")) for path in data} <= set(names)


def test_the_installed_command_tells_its_version_and_where_it_comes_from(tiphys):
    code, out, err = tiphys("version")
    assert (code, err) == (0, "") and "0.1.0" in out


def test_the_installed_command_says_in_a_line_why_it_does_not_serve(tiphys, tmp_path):
    code, _, err = tiphys("serve", "--no-node", "--memory", "--port", "0", "--token-file", str(tmp_path / "none"))
    assert (code, err.count("\n")) == (1, 1) and "does not exist" in err


def test_without_root_the_node_is_refused_with_the_way_out(tiphys):
    # Another user may not even read this Python, so it is only made to believe that it is one.
    tried = (
        "import os, sys, tiphys.cli.main as m; os.geteuid = lambda: 1000; sys.argv = ['t', 'up']; sys.exit(m.main())"
    )
    code, _, err = tiphys(code=tried)
    assert code == 1 and "needs root" in err and "Traceback" not in err


def test_doctor_names_each_check(tiphys):
    _, out, err = tiphys("doctor")
    assert "OK" in out and "Traceback" not in err
