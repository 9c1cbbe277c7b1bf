"""The functions' package: an explicit list of files, copied to build/lambda and zipped.

One package for all of them: they share most of it, and a function loads only what its handler imports.
Pure Python only, so that what runs here is what runs on the functions' arm64; boto3 comes with the
runtime. Equal sources give an equal archive, byte for byte, so a deployment changes only with them.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
HANDLERS = ("cloud.ingest.handler", "cloud.rollup.handler")
"""What the template runs of it."""
FILES = (
    "cloud/__init__.py",
    "cloud/announce.py",
    "cloud/buckets.py",
    "cloud/chunk.py",
    "cloud/decode.py",
    "cloud/dynamo.py",
    "cloud/dynamo_http.py",
    "cloud/enrich.py",
    "cloud/gap_ranges.py",
    "cloud/gaps_item.py",
    "cloud/gaps_state.py",
    "cloud/gaps_store.py",
    "cloud/gaps_watch.py",
    "cloud/health.py",
    "cloud/http_connections.py",
    "cloud/ingest.py",
    "cloud/keys.py",
    "cloud/latest.py",
    "cloud/latest_bytes.py",
    "cloud/latest_front.py",
    "cloud/latest_image.py",
    "cloud/latest_columns.py",
    "cloud/latest_legacy.py",
    "cloud/latest_store.py",
    "cloud/latest_telling.py",
    "cloud/link_change.py",
    "cloud/link_judge.py",
    "cloud/link_state.py",
    "cloud/link_witness.py",
    "cloud/poison.py",
    "cloud/ranking.py",
    "cloud/registry.py",
    "cloud/registry_metadata.py",
    "cloud/resend.py",
    "cloud/rollup.py",
    "cloud/rollup_crew.py",
    "cloud/rollup_cursor.py",
    "cloud/rollup_item.py",
    "cloud/rollup_marks.py",
    "cloud/rollup_pass.py",
    "cloud/rollup_settings.py",
    "cloud/rollup_store.py",
    "cloud/rollup_summary.py",
    "cloud/rollup_telling.py",
    "cloud/settings.py",
    "cloud/sift.py",
    "cloud/sketch.py",
    "cloud/snapshot.py",
    "cloud/store.py",
    "cloud/tallies.py",
    "cloud/telemetry.py",
    "cloud/validate.py",
    "cloud/varint.py",
    "edge_agent/__init__.py",
    "edge_agent/contract/__init__.py",
    "edge_agent/contract/column.py",
    "edge_agent/contract/forms.py",
    "edge_agent/contract/json_form.py",
    "edge_agent/contract/kinds.py",
    "edge_agent/contract/kinds_gateway.py",
    "edge_agent/contract/kinds_round_trip.py",
    "edge_agent/contract/kinds_surroundings.py",
    "edge_agent/contract/kinds_throughput.py",
    "edge_agent/contract/limits.py",
    "edge_agent/contract/model.py",
    "edge_agent/contract/pack.py",
    "edge_agent/contract/sealed.py",
    "edge_agent/contract/table.py",
    "edge_agent/contract/unpack.py",
)
"""All that is shipped, each reached from a handler of HANDLERS, from the root of the repository."""
BUDGET = 131_072
"""Bytes that the archive may have."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first date that a zip file knows."""
_MODE = 0o100644 << 16


class PackageError(Exception):
    """The package cannot be built as declared."""


@dataclass(frozen=True, slots=True)
class Package:
    """What was built."""

    folder: Path
    """What the template's CodeUri names."""
    archive: Path
    sizes: tuple[tuple[str, int], ...]
    """Each file and its bytes."""

    @property
    def archive_size(self) -> int:
        """Bytes of the archive."""
        return self.archive.stat().st_size


def build(build_folder: Path = BUILD, files: Sequence[str] = FILES, budget: int = BUDGET) -> Package:
    """Bring folder and archive up to date; raises PackageError for a missing file or too large an archive."""
    folder, archive = build_folder / "lambda", build_folder / "lambda.zip"
    missing = [name for name in files if not (ROOT / name).is_file()]
    if missing:
        raise PackageError(f"not there: {', '.join(missing)}")
    _fill(folder, files)
    _zip(folder, archive, files)
    package = Package(
        folder, archive, tuple((name, (folder / name).stat().st_size) for name in sorted(files))
    )
    if package.archive_size > budget:
        raise PackageError(f"{archive} has {package.archive_size} B, more than the budget of {budget} B")
    return package


def _fill(folder: Path, files: Sequence[str]) -> None:
    """Make the folder hold just the files; what is right stays, since a function may run from it."""
    for found in sorted(folder.rglob("*"), reverse=True):
        if found.is_dir():
            with suppress(OSError):  # it still holds files of ours
                found.rmdir()
        elif found.relative_to(folder).as_posix() not in files:
            found.unlink()
    for name in files:
        copy, content = folder / name, (ROOT / name).read_bytes()
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.is_file() or copy.read_bytes() != content:
            copy.write_bytes(content)


def _zip(folder: Path, archive: Path, files: Sequence[str]) -> None:
    with zipfile.ZipFile(archive, "w") as output:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = _MODE
            output.writestr(entry, (folder / name).read_bytes(), zipfile.ZIP_DEFLATED, 9)


def table(package: Package) -> str:
    """The files and their sizes as text."""
    lines = [f"{size:>8,} B  {name}" for name, size in package.sizes]
    lines.append(f"{package.archive_size:>8,} B  {package.archive.name} (of {BUDGET:,})")
    return "\n".join(lines)


def main() -> int:
    """Build and say what was built."""
    try:
        print(table(build()))
    except (PackageError, OSError) as exc:
        print(f"package: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
