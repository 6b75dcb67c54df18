"""The words lead somewhere: paths and links in the documents exist, and so do the names that they give."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tiphys"
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "src/**/*.md", "examples/**/*.md", "benchmarks/**/*.md")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\[[^\]]*\]\(([^)#:\s]+)(?:#[^)]*)?\)")
STEP = re.compile(r"`([a-z_]+/[a-z_/]+\.py)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(document):
    dead = [link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert dead == []


def test_the_journey_of_a_pod_passes_files_that_exist():
    steps = STEP.findall((ROOT / "ARCHITECTURE.md").read_text())
    assert len(steps) > 30
    assert [step for step in steps if not (SOURCE / step).is_file()] == []


def test_every_room_is_on_the_map():
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name[0] != "_"}
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert [room for room in sorted(rooms) if f"`{room}/`" not in text] == []


def test_the_readme_shows_two_commands_for_a_fresh_clone():
    text = (ROOT / "README.md").read_text()
    start = text[text.index("## Start") :].split("```")[1]
    assert re.findall(r"^scripts/\w+", start, re.MULTILINE) == ["scripts/up", "scripts/test"]


def test_every_claim_names_what_keeps_it():
    rows = [line for line in (ROOT / "SPECIFICATION.md").read_text().splitlines() if line.startswith("| ")]
    claims = [row.strip("| ").split(" | ") for row in rows if not set(row) <= set("| -")]
    assert len(claims) > 20
    assert [row[0] for row in claims if row[0] not in ("claim", "guarantee", "limit") and "](" not in row[-1]] == []
