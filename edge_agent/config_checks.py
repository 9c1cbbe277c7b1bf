"""What a setting may be: each check says what is wrong with a value, or nothing."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any

Check = Callable[[Any], str]
"""Says what is wrong with a value, as the end of a sentence that begins with its name; or nothing."""

_PROXY = re.compile(r"http://(?P<host>[^/@:]+|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]{1,5})")
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")


def between(low: float, high: float) -> Check:
    """A number from ``low`` to ``high``."""
    return lambda value: "" if low <= value <= high else f"is {value:.15g}, not {low:.15g} to {high:.15g}"


def one_of(choices: Sequence[str]) -> Check:
    """One of a few words."""
    return lambda value: "" if value in choices else f"is {value!r}, not one of {', '.join(choices)}"


def each_of(choices: Sequence[str]) -> Check:
    """A list of nothing but these words, none of them twice."""

    def check(values: Sequence[str]) -> str:
        wrong = [each for each in values if each not in choices]
        if wrong:
            return f"has {wrong[0]!r}, which is not one of {', '.join(choices)}"
        return "has a name twice" if len(set(values)) < len(values) else ""

    return check


def matches(pattern: re.Pattern[str], rule: str) -> Check:
    """A text of a pattern, which ``rule`` says in words."""
    return lambda value: "" if pattern.fullmatch(value) else f"{value!r} is not {rule}"


def host(value: str) -> str:
    """A host's name or address."""
    if not is_address(value) and not _HOST.fullmatch(value):
        return f"{value!r} is not a host name or address (no scheme, no port)"
    return ""


def address_or_nothing(value: str) -> str:
    """An IPv4 or IPv6 address, or an empty text."""
    return "" if not value or is_address(value) else f"{value!r} is not an IP address"


def proxy_or_nothing(value: str) -> str:
    """An HTTP proxy as http://host:port, or an empty text."""
    found = _PROXY.fullmatch(value)
    is_one = found and not host(found["host"].strip("[]")) and 0 < int(found["port"]) <= 65_535
    return "" if not value or is_one else f"{value!r} is not http://host:port"


def is_address(value: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def short(value: str) -> str:
    """A text that the wire contract can carry."""
    return "" if len(value.encode()) <= 255 else "is longer than 255 bytes"


def not_empty(value: Sequence[str]) -> str:
    """A list that names something to measure."""
    return "" if value else "is empty: nothing would be measured"
