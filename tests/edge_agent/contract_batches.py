"""The golden files of the wire contract, and generated batches."""

from pathlib import Path

from hypothesis import strategies as st

from edge_agent.contract import KINDS, MAX_SPAN_MS, Batch, Flag, Link, Outcome, Reading

WIRE = Path(__file__).parents[1] / "wire"
GOLDEN = sorted(path.stem for path in (WIRE / "v1").glob("*.batch"))


def wire(name: str) -> bytes:
    return (WIRE / name).read_bytes()


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
link_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,20}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=63)
unsigned = st.integers(0, (1 << 63) - 1)
links = st.builds(Link, link_ids, texts, texts, texts, texts, texts, texts, st.booleans())


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Batches of up to 8 readings within the limits of the contract."""
    base = draw(st.integers(0, (1 << 63) - 1 - MAX_SPAN_MS))
    ids = draw(st.lists(link_ids, min_size=1, max_size=4, unique=True))
    readings = []
    for _ in range(draw(st.integers(1, 8))):
        kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
        values = tuple(draw(st.none() | st.integers(0, column.maximum)) for column in kind.columns)
        flags, outcome = Flag(draw(st.integers(0, (1 << len(Flag)) - 1))), draw(st.sampled_from(Outcome))
        at_ms = base + draw(st.integers(0, MAX_SPAN_MS))
        readings.append(Reading(draw(st.sampled_from(ids)), kind.name, at_ms, values, flags, outcome))
    defined = draw(st.lists(links, max_size=3, unique_by=lambda link: link.id))
    return Batch(draw(names), draw(unsigned), draw(unsigned), draw(unsigned), tuple(readings), tuple(defined))
