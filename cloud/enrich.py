"""Brings a gateway's latest state up to date with its live batches and what the registry knows (pure).

A batch counts once. It must be newer than the state (its version), and of the same spool it must begin
after what the state has taken in: so neither a replay, nor a second delivery that was received at another
time, nor a batch that was overtaken changes anything. A batch is taken in by its columns: the newest row of
each series as the wire has it, and what the rounds say of the link (cloud/link_judge.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter, le

from cloud import chunk, keys, latest_image, tallies
from cloud.decode import Arrival
from cloud.latest_image import Group, Image, Row, since_s
from cloud.link_change import Change
from cloud.link_judge import Judge, Rounds, Verdict
from cloud.registry import Entry
from cloud.validate import is_future, is_live, present_ms
from edge_agent.contract import Sealed

_NO_WITNESS = 0, 0, 0
_NONE: frozenset[int] = frozenset()


@dataclass(slots=True)
class Progress:
    """A gateway's state while its batches are taken in."""

    image: Image = field(default_factory=Image)
    version: str = ""
    """Of the newest batch taken in; empty before the first."""
    changes: list[Change] = field(default_factory=list)
    """What the batches taken in changed."""
    taken: int = 0
    """Batches taken in; when none was, there is nothing to write."""


def live(arrivals: Iterable[Arrival]) -> dict[str, list[Arrival]]:
    """Arrivals that tell of the present, by gateway; backlog never replaces the latest state."""
    found: dict[str, list[Arrival]] = {}
    for arrival in filter(is_live, arrivals):
        found.setdefault(arrival.sealed.gateway, []).append(arrival)
    return found


def advance(progress: Progress, arrivals: Sequence[Arrival], entry: Entry, keep_ms: int) -> None:
    """Take in what is new of the live batches of one gateway, oldest first; series expire after keep_ms."""
    last_ms = 0
    arranged = sorted(((chunk.version(each), each) for each in arrivals), key=itemgetter(0))
    for version, arrival in arranged:
        if _is_new(progress, version, arrival.sealed):
            _take_in(progress, arrival)
            progress.version, progress.taken = version, progress.taken + 1
            last_ms = present_ms(arrival, arrival.sealed.last_ms)
    if progress.taken:
        _expire(progress.image, last_ms - keep_ms)
        _name(progress.image, entry)


def _is_new(progress: Progress, version: str, sealed: Sealed) -> bool:
    if version <= progress.version or not progress.version:
        return not progress.version
    newest = keys.parse_version(progress.version)
    following = newest.first_sequence + progress.image.numbered
    return sealed.epoch != newest.epoch or sealed.first_sequence >= following


def _take_in(progress: Progress, arrival: Arrival) -> None:
    image, sealed = progress.image, arrival.sealed
    latest_ms = arrival.envelope.rx_ms if is_future(arrival) else keys.MAX_MS
    rounds = _rounds(sealed)
    verdict = Judge(image, sealed, latest_ms, rounds).judge()
    progress.changes += verdict.changes
    _remember(image, verdict)
    kept = [_keep(image, sealed, given, verdict, latest_ms) for given in rounds.values()]
    if not all(kept):
        image.arrange()
    _set_states(image, verdict)
    image.rx_ms, image.direct = arrival.envelope.rx_ms, arrival.envelope.direct
    image.numbered, image.left_out = len(sealed), 0


def _rounds(sealed: Sealed) -> dict[int, Rounds]:
    """The readings of a batch by kind."""
    failed = sealed.outcomes.count(0) < len(sealed)
    rounds = {}
    for code, bundle in sealed.bundles.items():
        silent = _NONE
        if failed:
            silent = frozenset(
                sealed.rows[position]
                for positions in bundle.positions
                for position in positions
                if sealed.outcomes[position]
            )
        rounds[code] = Rounds(bundle, silent, tallies.of(sealed.tables[code], silent))
    return rounds


def _remember(image: Image, verdict: Verdict) -> None:
    """Keep what the witnesses of known series say now, also of kinds that the batch does not bring."""
    for code, means in verdict.means.items():
        image.groups[code].losses, image.groups[code].weights = means
    for code, witnesses in verdict.witnesses.items():
        group, places = image.groups.get(code), image.front.places.get(code, {})
        if group is None:
            continue
        columns = [*group.witnesses], [*group.losses], [*group.weights]
        for link, kept in witnesses.items():
            for column, number in zip(columns, kept, strict=True) if link in places else ():
                column[places[link]] = number
        group.witnesses, group.losses, group.weights = columns


def _keep(image: Image, sealed: Sealed, rounds: Rounds, verdict: Verdict, latest_ms: int) -> bool:
    """Keep the newest reading of each series, and the round trips of all; whether the series are the same."""
    bundle, code = rounds.bundle, rounds.bundle.kind.code
    table, group = sealed.tables[code], image.groups.get(code)
    newest, rows = bundle.last, bundle.last_rows
    if not sealed.ordered:
        newest = [sealed.newest(positions) for positions in bundle.positions]
        rows = [sealed.rows[position] for position in newest]
    times = [sealed.times[position] for position in newest]
    if sealed.last_ms > latest_ms:
        times = [min(at_ms, latest_ms) for at_ms in times]
    nothing = (0,) * len(newest)
    totals = rounds.tallies.totals(bundle) if rounds.tallies else (nothing, nothing)
    flags = [sealed.flags[position] for position in newest]
    outcomes = [sealed.outcomes[position] for position in newest]
    content = flags, outcomes, *totals, table.raw(rows)
    if group is not None and group.links == bundle.links and all(map(le, group.times, times)):
        image.groups[code] = Group(group.links, times, group.witnesses, group.losses, group.weights, *content)
        return True
    witnesses = verdict.witnesses.get(code, {})
    kept = group.rows() if group else {}
    for link, at_ms, *row in zip(bundle.links, times, *content, strict=True):
        known = kept.get(link)
        if known is None:
            kept[link] = Row(at_ms, *witnesses.get(link, _NO_WITNESS), *row)
        elif known.at_ms <= at_ms:
            kept[link] = Row(at_ms, known.witness, known.loss, known.weight, *row)
    image.groups[code] = latest_image.group(kept)
    return False


def _set_states(image: Image, verdict: Verdict) -> None:
    if verdict.states:
        states, since = list(image.states), list(image.since)
        for link, (state, at_ms) in verdict.states.items():
            place = image.front.at[link]
            states[place] = state
            if at_ms is not None:
                since[place] = since_s(at_ms)
        image.states, image.since = states, since


def _expire(image: Image, oldest_ms: int) -> None:
    """Drop the series that nobody has measured for so long: their link was taken out of the config."""
    if min([min(group.times) for group in image.groups.values()]) < oldest_ms:
        old = [
            (code, link)
            for code, group in image.groups.items()
            for link, at_ms in zip(group.links, group.times, strict=True)
            if at_ms < oldest_ms
        ]
        latest_image.drop(image, old)


def _name(image: Image, entry: Entry) -> None:
    """Say of links and gateway what the registry knows now; without an answer what it knew stays."""
    front = image.front
    if entry.known:
        said = tuple(map(entry.said.get, front.links, front.said))
        if said != front.said or entry.place != front.place:
            image.name(entry.place, said)


def forgotten(image: Image, version: str, entry: Entry, keep_ms: int) -> set[str]:
    """Links whose definitions the registry may drop: without a series, and as old as one that expires."""
    gone = entry.definitions.keys() - image.front.at.keys()
    if not gone:
        return gone
    oldest = keys.parse_version(version).first_ms - keep_ms
    return {link for link in gone if keys.parse_version(entry.definitions[link].version).first_ms < oldest}
