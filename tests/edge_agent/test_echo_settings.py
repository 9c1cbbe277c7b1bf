"""Echo: settings and targets that are refused, and why."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.contract import Outcome
from edge_agent.probes import EchoSettings, ProbeError
from edge_agent.probes.binding import ProbedLink
from tests.edge_agent.echo_rig import FAST, echo


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"count": 0}, "count"),
        ({"size": 2000}, "size"),
        ({"timeout_s": 11}, "timeout_s"),
        ({"spacing": "odd"}, "spacing"),
    ],
)
def test_a_setting_out_of_range_is_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"probe.echo: {named} is"):
        EchoSettings(**wrong)


def test_requests_that_do_not_fit_the_timeout_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit timeout_s"):
        EchoSettings(count=50, spacing_ms=200)


def failure(target: str, interface: str = "") -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        echo(FAST, ProbedLink("here", target=target, interface=interface))
    return caught.value


@pytest.mark.parametrize("target", ["", "name.invalid", "a..b", "x" * 300])
def test_a_target_that_does_not_resolve_is_unresolved(target: str) -> None:
    assert failure(target).outcome is Outcome.UNRESOLVED


def test_a_link_local_target_needs_an_interface() -> None:
    assert "must name its interface" in failure("fe80::1").message


def test_a_missing_interface_is_named() -> None:
    error = failure("127.0.0.1", "nope0")
    assert error.outcome is Outcome.NO_INTERFACE and "'nope0'" in error.message
