"""What the Lambda runtime itself brings to a function: awslambdaric and boto3 with what they need.

The child must not find a package that happens to be installed here, least of all this project (its editable
install hooks every import): a module missing from the built package has to fail here as it would on AWS. So
the interpreter runs without site-packages, and this layer, a folder of links, takes their place.
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

RUNTIME_DISTRIBUTIONS = ("awslambdaric", "boto3")


class LayerError(Exception):
    """A package that the runtime brings is not installed."""


def build_layer(folder: Path, roots: tuple[str, ...] = RUNTIME_DISTRIBUTIONS) -> None:
    """Link the packages and modules of the distributions, with those they require, into an empty folder.

    Raises LayerError.
    """
    for found in _closure(roots):
        for name in _top_level(found):
            target = Path(str(found.locate_file(name))).resolve()
            if target.exists():
                (folder / name).symlink_to(target)


def _closure(roots: tuple[str, ...]) -> list[Distribution]:
    """The distributions and everything they require unconditionally."""
    found: dict[str, Distribution] = {}
    open_names = list(roots)
    while open_names:
        name = open_names.pop()
        if _canonical(name) in found:
            continue
        try:
            found[_canonical(name)] = distribution(name)
        except PackageNotFoundError:
            raise LayerError(f"{name} is not installed; run pip install 'linkpulse[local]'") from None
        open_names += [
            _requirement_name(line)
            for line in found[_canonical(name)].requires or []
            if "extra" not in line.partition(";")[2]
        ]
    return list(found.values())


def _requirement_name(line: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", line)
    assert match, f"a requirement without a name: {line}"
    return match[0]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _top_level(found: Distribution) -> set[str]:
    """Names directly in site-packages that belong to a distribution."""
    names = {file.parts[0] for file in found.files or []}
    return {name for name in names if name not in ("..", "__pycache__") and not name.endswith(".pth")}
