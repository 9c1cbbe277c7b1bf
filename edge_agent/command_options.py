"""The options of the commands that have many; importing them costs nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

PROBE_KINDS = {
    "icmp": "ICMP echo: loss, round trip, delay variation (also: echo)",
    "tcp": "time to connect to a TCP port (also: connect)",
    "http": "time to the first byte, and its phases",
    "dns": "look-up time of the name server TARGET",
    "stamp": "round trip, and each direction's loss and delay, with a reflector (edge-agent reflect)",
    "train": "capacity towards a reflector by a train of packets (also: capacity)",
    "bulk": "goodput of a capped TCP transfer to a reflector with --bulk",
    "load": "round trip by the load of --interface",
    "path": "the routers on the way (needs scapy)",
    "interface": "state, speed and traffic of the interface TARGET",
    "neighbour": "who is on the other side of the interface TARGET (needs scapy)",
    "host": "CPU, memory, heat and power of this machine; no TARGET",
    "simulated": "a link that is not there",
}
PROBE_EXITS = "exit status: 0 all answered, 1 not all, 68 unknown host, 69 not measured, 77 not permitted"
ALIASES = ("echo", "connect", "capacity")


def add_probe(parser: argparse.ArgumentParser) -> None:
    """The options of `probe`."""
    width = max(map(len, PROBE_KINDS))
    kinds = "\n".join(f"  {name.ljust(width)}  {what}" for name, what in PROBE_KINDS.items())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"kinds:\n{kinds}\n\n{PROBE_EXITS}"
    parser.add_argument(
        "kind", type=str.lower, choices=(*PROBE_KINDS, *ALIASES), metavar="KIND", help="see below"
    )
    parser.add_argument("target", nargs="?", metavar="TARGET", help="a host or address, or an interface")
    parser.add_argument("--count", type=int, metavar="N", help="requests in the round (icmp 5, tcp 3)")
    parser.add_argument("--interval", type=_seconds, metavar="S", help="seconds between requests (icmp 0.2)")
    parser.add_argument("--timeout", type=_seconds, metavar="S", help="seconds to wait for an answer (2)")
    parser.add_argument("--port", type=int, metavar="PORT", help="of the target (tcp 443, stamp 862)")
    parser.add_argument("--name", metavar="NAME", help="what dns asks for (.)")
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="key shared with the reflector")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting of [probe.KIND]"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    path = parser.add_argument_group("the way that packets take")
    path.add_argument("--interface", metavar="NAME", help="send through this interface")
    path.add_argument("--vlan", metavar="ID", help="of --interface")
    path.add_argument("--source", metavar="ADDRESS", help="send from this address")
    path.add_argument("--mark", type=int, metavar="N", help="routing mark (ip rule add fwmark N)")
    path.add_argument("--next-hop", metavar="ADDRESS", help="refuse to measure when routing takes another")


def add_reflect(parser: argparse.ArgumentParser) -> None:
    """The options of `reflect`."""
    parser.add_argument(
        "--allow",
        action="append",
        metavar="CIDR",
        help="answer these networks; may be repeated (private and local ones)",
    )
    parser.add_argument("--listen", metavar="ADDRESS", help="answer on this address (::, which is all)")
    parser.add_argument("--port", type=int, metavar="PORT", help="UDP port of STAMP (862)")
    parser.add_argument("--train-port", type=int, metavar="PORT", help="port of trains and bulk (8620)")
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="answer only who has this key")
    parser.add_argument("--bulk", action="store_true", help="take bulk transfers as well")
    parser.add_argument("--json", action="store_true", help="print the counters as JSON at the end")


def add_spool(parser: argparse.ArgumentParser, configured: argparse.ArgumentParser) -> None:
    """The options of `spool`; those of ``configured`` go to each action."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    status = actions.add_parser("status", parents=[configured], help="what the spool holds and has lost")
    status.add_argument("--json", action="store_true", help="print JSON")
    actions.add_parser(
        "export", parents=[configured], help="print every reading that waits, a JSON line each"
    )
    verify = actions.add_parser(
        "verify", parents=[configured], help="check every byte; exits 1 when anything is damaged"
    )
    verify.add_argument("--json", action="store_true", help="print JSON")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.001 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not 0.001 to 3600 s")
    return value
