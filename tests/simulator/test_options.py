"""The command line: what makes no sense is one line that names the option, exit code 2."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from simulator.options import parse


def test_the_defaults_are_fifty_gateways_of_ten_links_over_mqtt() -> None:
    options = parse(["run"])
    assert (options.gateways, options.links, options.interval, options.duration) == (50, 10, 10, 60)
    assert (options.sink, options.publisher, options.prefix, options.seed) == ("mqtt", "awsiotsdk", "gw", 1)
    assert (options.flush, options.fast, options.stack, options.local) == (5, False, None, None)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--gateways", "0"], "--gateways"),
        (["--gateways", "1.5"], "--gateways"),
        (["--gateways", "-1"], "--gateways"),
        (["--links", "101"], "--links"),
        (["--interval", "0"], "--interval"),
        (["--interval", "nan"], "--interval"),
        (["--duration", "-1"], "--duration"),
        (["--duration", "inf"], "--duration"),
        (["--flush", "soon"], "--flush"),
        (["--seed", "one"], "--seed"),
        (["--prefix", "a/b"], "--prefix"),
        (["--prefix", "x" * 60], "--prefix"),
        (["--sink", "s3"], "--sink"),
        (["--sink", "file"], "--output"),
        (["--output", "x"], "--output"),
        (["--fast"], "--fast"),
        (["--sink", "kinesis", "--fast", "--duration", "0"], "--duration"),
        (["--start", "2026-11-22"], "--start"),
        (["--sink", "kinesis", "--fast", "--start", "noon"], "--start"),
        (["--sink", "kinesis", "--fast", "--start", "0001-01-01"], "--start"),
        (["--publisher", "paho", "--gateways", "301"], "--publisher"),
        (["--history", "yesterday"], "--history"),
        (["--sink", "kinesis", "--fast", "--history", "600"], "--history"),
        (["--sink", "file", "--output", "x", "--history", "600"], "--history"),
        (["--history-interval", "60"], "--history-interval"),
    ],
)
def test_nonsense_is_one_line_that_names_the_option(
    arguments: list[str], names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["run", *arguments])
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert said.count("\n") == 1
    assert names in said


def test_a_start_without_a_zone_is_utc_and_another_zone_is_converted() -> None:
    given = ["run", "--sink", "kinesis", "--fast", "--start"]
    assert parse([*given, "2026-11-22T12:00:00"]).start == datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert parse([*given, "2026-11-22T12:00:00+02:00"]).start == datetime(2026, 11, 22, 10, tzinfo=UTC)
