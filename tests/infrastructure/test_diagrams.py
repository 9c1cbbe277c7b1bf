"""The diagrams: each one parses with Mermaid, draws where there is a browser, and is explained in words.

Mermaid comes as one pinned file from the npm package, fetched once into ``build/mermaid``:
``npm pack mermaid@VERSION`` and its ``dist/mermaid.min.js``. Parsing needs no browser and no other package.
"""

import html
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIAGRAMS = ROOT / "infrastructure" / "diagrams"
VERSION = "11.17.2"
"""Of the line that GitHub renders with."""

BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VIEWS = {"context", "containers", "sequence", "deployment"}
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def blocks() -> dict[str, str]:
    """Source by name, of the views and of the README."""
    found = {}
    for path in [*sorted(DIAGRAMS.glob("*.md")), ROOT / "README.md"]:
        for number, source in enumerate(BLOCK.findall(path.read_text(encoding="utf-8"))):
            found[f"{path.stem} {number}"] = source
    return found


@pytest.fixture(scope="module")
def mermaid() -> Path:
    """The pinned bundle."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    folder = ROOT / "build" / "mermaid"
    bundle = folder / f"mermaid-{VERSION}.min.js"
    if not bundle.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", f"mermaid@{VERSION}"], cwd=folder, check=True, timeout=100)
        archive = folder / f"mermaid-{VERSION}.tgz"
        with tarfile.open(archive) as package:
            member = package.extractfile("package/dist/mermaid.min.js")
            assert member is not None
            bundle.write_bytes(member.read())
        archive.unlink()
    return bundle


def reasons(bundle: Path, sources: list[str]) -> list[str | None]:
    """Why each source does not parse, None where it does."""
    script = Path(__file__).with_name("parse_mermaid.mjs")
    command = ["node", str(script), str(bundle)]
    done = subprocess.run(command, input=json.dumps(sources), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
    answer: list[str | None] = json.loads(done.stdout)
    return answer


def test_there_are_the_four_views_each_with_a_picture_and_two_sentences() -> None:
    assert {path.stem for path in DIAGRAMS.glob("*.md")} == VIEWS
    for view in VIEWS:
        text = (DIAGRAMS / f"{view}.md").read_text(encoding="utf-8")
        prose = text.split("```mermaid")[0]
        assert BLOCK.search(text), view
        assert len(re.findall(r"\.\s", prose)) >= 2, view


def test_the_readme_shows_the_flow_as_a_picture() -> None:
    assert "README 0" in blocks()


def test_every_diagram_parses(mermaid: Path) -> None:
    found = blocks()
    broken = {name: why for name, why in zip(found, reasons(mermaid, [*found.values()]), strict=True) if why}

    assert not broken


def test_a_broken_diagram_does_not_parse(mermaid: Path) -> None:
    """So that the test above can fail."""
    sources = ["flowchart LR\n a -->\n", "sequenceDiagram\n participant link\n link->>a: x\n"]

    assert all(reasons(mermaid, sources))


@pytest.mark.skipif(BROWSER is None, reason="no chromium here to draw with")
def test_every_diagram_draws_in_a_browser(mermaid: Path, tmp_path: Path) -> None:
    found = blocks()
    pictures = "".join(f"<pre class=mermaid>{html.escape(source)}</pre>" for source in found.values())
    page = tmp_path / "page.html"
    page.write_text(
        f'<!doctype html><meta charset=utf-8>{pictures}<script src="{mermaid.as_uri()}"></script>',
        encoding="utf-8",
    )
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
    ]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    drawn = subprocess.run(
        [str(BROWSER), *flags, profile, "--virtual-time-budget=20000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=100,
    ).stdout

    roles = re.findall(r'<svg[^>]* aria-roledescription="([^"]+)"', drawn)
    assert len(roles) == len(found)
    assert "error" not in roles
