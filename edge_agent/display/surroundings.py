"""Readings of what is around a link: its interface, path and neighbours, and the host."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.contract import Reading
from edge_agent.contract.texts import PROTOCOLS, address_of, mac_of, text_of, throttles_of
from edge_agent.display.figures import NOTHING, count, memory, ms, percent, rate
from edge_agent.display.terminal import aligned

_KELVIN = 273.15


def interface_line(reading: Reading) -> str:
    """An interface on one line."""
    return f"{_port(reading)}, {_traffic(reading)}"


def interface_report(reading: Reading) -> list[str]:
    """An interface at length."""
    columns = ("packets", "errors", "dropped")
    lines = [
        _port(reading),
        _traffic(reading),
        *(
            f"{way}: " + ", ".join(f"{count(reading[f'{way}_{column}'])} {column}" for column in columns)
            for way in ("rx", "tx")
        ),
    ]
    if reading["signal_dbm"] is not None:
        rates = (
            f"receiving at {rate(reading['rx_bitrate_kbps'])}, sending at {rate(reading['tx_bitrate_kbps'])}"
        )
        lines.append(f"Wi-Fi: signal {-reading['signal_dbm']} dBm, {rates}")
    return lines


def _port(reading: Reading) -> str:
    if reading["up"] is None:
        return "gone"
    speed = reading["speed_kbps"]
    negotiated = "speed not reported" if speed is None else f"{speed / 1000:g} Mbit/s"
    duplex = {None: "", 0: " half duplex", 1: " full duplex"}[reading["full_duplex"]]
    return f"{'up' if reading['up'] else 'down'}, {negotiated}{duplex}, MTU {count(reading['mtu'])} B"


def _traffic(reading: Reading) -> str:
    period = reading["period_ms"]
    if not period or reading["rx_bytes"] is None or reading["tx_bytes"] is None:
        return "counters from the next round on"
    received, sent = (8 * (reading[f"{way}_bytes"] or 0) / period / 1000 for way in ("rx", "tx"))
    return f"receiving {received:.3g} Mbit/s, sending {sent:.3g} Mbit/s"


def path_line(reading: Reading) -> str:
    """One hop on one line."""
    address = address_of(reading) or "no answer"
    return f"hop {count(reading['hop'])}: {address}, rtt {ms(reading['rtt_min_us'])} ms"


def path_report(hops: Sequence[Reading]) -> list[str]:
    """A path, a line for each hop."""
    header = ("HOP", "ADDRESS", "ANSWERED", "RTT MIN MS")
    rows = [
        (
            count(each["hop"]),
            address_of(each) or "*",
            f"{count(each['answered'])}/{count(each['sent'])}",
            ms(each["rtt_min_us"]),
        )
        for each in hops
    ]
    distance = hops[0]["hops"]
    end = "the target did not answer" if distance is None else f"hops to the target: {distance}"
    changed = {1: "the path is not that of the round before"}.get(hops[0]["changed"] or 0)
    return [*aligned([header, *rows]), *filter(None, (end, changed))]


def neighbour_line(reading: Reading) -> str:
    """One neighbour on one line."""
    if reading["protocol"] is None:
        return "nothing was heard"
    named = " ".join(filter(None, (text_of(reading, "name"), text_of(reading, "port"))))
    parts = (_protocol(reading), address_of(reading), mac_of(reading), named)
    return ", ".join(filter(None, parts))


def neighbour_report(neighbours: Sequence[Reading]) -> list[str]:
    """The neighbours, a line for each."""
    heard = [each for each in neighbours if each["protocol"] is not None]
    if not heard:
        return ["nothing was heard"]
    header = ("BY", "ADDRESS", "MAC", "NAME", "PORT")
    return aligned([header, *map(_neighbour, heard)])


def _neighbour(each: Reading) -> tuple[str, ...]:
    texts = (address_of(each), mac_of(each), text_of(each, "name"), text_of(each, "port"))
    return (_protocol(each), *(text or NOTHING for text in texts))


def _protocol(reading: Reading) -> str:
    code = reading["protocol"] or 0
    return PROTOCOLS.get(code, f"protocol {code}")


def host_line(reading: Reading) -> str:
    """The machine on one line."""
    free = f"{memory(reading['memory_available_kib'])} memory free"
    parts = [f"CPU {percent(reading['cpu_permille'])}", free, *_heat(reading), *throttles_of(reading)]
    return ", ".join(parts)


def host_report(reading: Reading) -> list[str]:
    """The machine at length."""
    load = reading["load_1min_centi"]
    uptime = reading["uptime_s"]
    return [
        f"CPU {percent(reading['cpu_permille'])}, load {NOTHING if load is None else f'{load / 100:.2f}'}, "
        f"{count(reading['frequency_mhz'])} MHz" + "".join(f", {each}" for each in _heat(reading)),
        f"memory {memory(reading['memory_available_kib'])} of {memory(reading['memory_total_kib'])} free, "
        f"swap {memory(reading['swap_used_kib'])} used",
        "disk not known: is there such a folder?"
        if reading["disk_total_kib"] is None
        else f"disk {memory(reading['disk_free_kib'])} of {memory(reading['disk_total_kib'])} free",
        f"power: {', '.join(_power(reading)) or 'not told'}",
        f"up for {NOTHING if uptime is None else f'{uptime / 86_400:.1f}'} days; "
        f"agent {memory(reading['agent_rss_kib'])}, CPU {percent(reading['agent_cpu_permille'])} of one core",
    ]


def _heat(reading: Reading) -> list[str]:
    heat = reading["temperature_ck"]
    return [] if heat is None else [f"{heat / 100 - _KELVIN:.1f} °C"]


def _power(reading: Reading) -> list[str]:
    mains = {None: None, 0: "on battery", 1: "on mains"}[reading["mains"]]
    supply, battery = reading["supply_mv"], reading["battery_permille"]
    parts = [
        mains,
        None if supply is None else f"{supply / 1000:.2f} V",
        None if battery is None else f"battery {percent(battery)}",
        *throttles_of(reading),
    ]
    return [each for each in parts if each]
