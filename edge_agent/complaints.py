"""What is wrong with an agent and what to do about it, from its state (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from edge_agent.contract import Outcome
from edge_agent.contract.texts import duration_text
from edge_agent.status import Delivery, Held, Problem, Seen

_WITHHELD = {
    Outcome.DENIED: "run it as the service does, or give it CAP_NET_RAW (README, Probes)",
    Outcome.NO_INTERFACE: "check [[link]] interface: `ip link` lists what there is",
    Outcome.UNRESOLVED: "check [[link]] target and this machine's name server",
    Outcome.OFF_PATH: "check [[link]] next_hop, source and mark, and the routes to the target",
    Outcome.FAILED: "journalctl -u edge-agent says why",
}
"""Outcomes that somebody here can do something about, with what."""


def complaints(
    delivery: Delivery,
    spool: Held,
    seen: Sequence[Seen],
    *,
    clock_synced: bool,
    dropped_now: int,
    stalled: Sequence[str],
    refused_reload: str,
) -> tuple[Problem, ...]:
    """All that is wrong, the worst first; ``dropped_now`` are readings given up since the agent started."""
    return (
        *_of_spool(spool, dropped_now),
        *_of_delivery(delivery),
        *_of_agent(stalled, refused_reload),
        *_of_clock(clock_synced),
        *_of_probes(seen),
    )


def _of_spool(spool: Held, dropped_now: int) -> Iterator[Problem]:
    if spool.trouble:
        what = "takes no readings" if spool.is_open else "cannot be opened"
        yield Problem(
            f"the spool {what}: {spool.trouble}; {spool.in_memory} readings wait in memory",
            f"free or mend the disk that holds {spool.path}; the agent goes on by itself then",
        )
    if spool.damaged:
        yield Problem(
            f"{spool.damaged} bytes of the spool were damaged; what they held is lost, and the cloud is told",
            "a disk that does this is about to fail: `edge-agent spool verify`, and replace it",
        )
    if dropped_now:
        yield Problem(
            f"{dropped_now} readings were given up since the agent started",
            "edge-agent spool status says why; [spool] max_mib is how much can wait",
        )


def _of_delivery(delivery: Delivery) -> Iterator[Problem]:
    since = "" if delivery.for_s is None else f" for {duration_text(delivery.for_s)}"
    why = f": {delivery.why}" if delivery.why else ""
    match delivery.state:
        case "unreachable":
            remedy = "check the way out and [mqtt] endpoint, port and proxy; readings are kept meanwhile"
            yield Problem(f"the broker is out of reach{since}{why}", remedy)
        case "refused":
            remedy = "check that the gateway is enrolled and its certificate active: linkview gateways list"
            yield Problem(f"the broker refuses{since}{why}", remedy)
        case "held":
            remedy = "edge-agent budget says what is left and until when"
            yield Problem(f"the data budget holds readings back{since}{why}", remedy)


def _of_agent(stalled: Sequence[str], refused_reload: str) -> Iterator[Problem]:
    if stalled:
        yield Problem(f"these loops stand still: {', '.join(stalled)}", "the watchdog starts the agent anew")
    if refused_reload:
        yield Problem(
            f"the configuration on disk is not in effect: {refused_reload}",
            "edge-agent check lists what to mend; then reload again",
        )


def _of_clock(synced: bool) -> Iterator[Problem]:
    if not synced:
        remedy = "check the time service, with `timedatectl` for one; readings are marked until then"
        yield Problem("the clock is not synchronised", remedy)


def _of_probes(seen: Iterable[Seen]) -> Iterator[Problem]:
    found: dict[tuple[str, Outcome], list[str]] = {}
    for each in seen:
        if each.reading.outcome in _WITHHELD:
            found.setdefault((each.reading.kind, each.reading.outcome), []).append(each.reading.link)
    for (kind, outcome), links in found.items():
        word = outcome.name.lower().replace("_", " ")
        yield Problem(f"{kind} does not measure {_listed(links)}: {word}", _WITHHELD[outcome])


def _listed(links: Sequence[str]) -> str:
    names = list(Counter(links))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
