"""Nobody imports through their own package's `__init__`: it is the front door for others."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
FILES = sorted(SOURCE.rglob("*.py"))


def package_of(path: Path) -> str:
    return ".".join(path.parent.relative_to(SOURCE).parts)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_does_not_use_its_own_front_door(path):
    own = package_of(path)
    imports = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
    through = [
        n.lineno for n in imports if n.module == own and own != "tiphys" for a in n.names if is_name(path, a.name)
    ]
    assert through == []


def is_name(path: Path, name: str) -> bool:
    """A name that is no module beside the file comes out of `__init__`."""
    return not (path.parent / f"{name}.py").exists() and not (path.parent / name).is_dir()


@pytest.mark.parametrize(
    "room", sorted(p for p in (SOURCE / "tiphys").iterdir() if p.is_dir() and p.name[0] != "_"), ids=lambda p: p.name
)
def test_every_room_has_a_readme(room):
    assert (room / "README.md").is_file(), f"{room.name}/ needs a one-page README.md"
