"""The messages of trains: what they carry, how long they are, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.train_packet import (
    Ask,
    Car,
    Message,
    Report,
    TrainError,
    challenge,
    cookie_of,
    encode_ask,
    encode_car,
    encode_report,
    hello,
    message_of,
    parse_ask,
    parse_car,
    parse_challenge,
    parse_hello,
    parse_report,
)
from edge_agent.probes.train_steps import Arrival

NONCE, COOKIE, KEY = b"nonce678", b"cookie7890123456", b"0123456789abcdef"
KEYS = pytest.mark.parametrize("key", [None, KEY])
ASK = Ask(NONCE, COOKIE, 1, 20, 3, 9)
REPORT = Report(NONCE, 1, True, 23, 20, 5, (Arrival(0, 0), Arrival(7, 1 << 40), Arrival(65_000, 9)), 9)


@KEYS
def test_every_message_comes_back_as_it_was(key: bytes | None) -> None:
    assert parse_hello(hello(NONCE, key), key) == NONCE
    assert parse_challenge(challenge(NONCE, COOKIE, key), NONCE, key) == COOKIE
    assert parse_ask(encode_ask(ASK, key), key) == ASK
    assert parse_report(encode_report(REPORT, key), ASK, key) == REPORT
    car = Car(NONCE, COOKIE, 1, 199, 200)
    assert parse_car(encode_car(car, 1_372)) == car and len(encode_car(car, 1_372)) == 1_372


@KEYS
@pytest.mark.parametrize("records", [0, 1, 3, 160])
def test_no_answer_is_longer_than_its_question(key: bytes | None, records: int) -> None:
    assert len(challenge(NONCE, COOKIE, key)) <= len(hello(NONCE, key))
    question = encode_ask(Ask(NONCE, COOKIE, 1, 0, records), key)
    told = parse_ask(question, key).records
    arrivals = tuple(Arrival(number, number) for number in range(told))
    assert len(encode_report(Report(NONCE, 1, True, told, 0, 0, arrivals), key)) <= len(question)


@pytest.mark.parametrize(
    "parse",
    [
        lambda data: parse_hello(data, KEY),
        lambda data: parse_challenge(data, NONCE, KEY),
        lambda data: parse_ask(data, KEY),
        lambda data: parse_report(data, ASK, KEY),
    ],
)
@pytest.mark.parametrize("key", [None, b"another key of 32 bytes in whole"])
def test_what_our_key_does_not_vouch_for_is_refused(
    parse: Callable[[bytes], object], key: bytes | None
) -> None:
    for message in (
        hello(NONCE, key),
        challenge(NONCE, COOKIE, key),
        encode_ask(ASK, key),
        encode_report(REPORT, key),
    ):
        with pytest.raises(TrainError):
            parse(message)


@KEYS
def test_every_cut_message_is_refused(key: bytes | None) -> None:
    for length in range(len(hello(NONCE, key))):
        with pytest.raises(TrainError):
            parse_hello(hello(NONCE, key)[:length], key)
    whole = encode_report(REPORT, key)
    for length in range(len(whole)):
        with pytest.raises(TrainError):
            parse_report(whole[:length], ASK, key)


@pytest.mark.parametrize(
    "other",
    [
        Ask(b"another8", COOKIE, 1, 20, 3, 9),
        Ask(NONCE, COOKIE, 2, 20, 3, 9),
        Ask(NONCE, COOKIE, 1, 0, 3, 9),
        Ask(NONCE, COOKIE, 1, 20, 2, 9),
        Ask(NONCE, COOKIE, 1, 20, 3, 10),
    ],
)
def test_an_answer_to_another_question_is_refused(other: Ask) -> None:
    with pytest.raises(TrainError):
        parse_report(encode_report(REPORT, None), other, None)


@pytest.mark.parametrize(("sequence", "count"), [(200, 200), (0, 0), (5, 2_001)])
def test_a_packet_outside_of_its_train_is_refused(sequence: int, count: int) -> None:
    with pytest.raises(TrainError):
        parse_car(encode_car(Car(NONCE, COOKIE, 1, sequence, count), 100))


def test_a_cookie_is_of_one_address_one_nonce_and_one_responder() -> None:
    cookies = {
        cookie_of(b"secret", "10.0.0.1 5", NONCE),
        cookie_of(b"secret", "10.0.0.1 6", NONCE),
        cookie_of(b"secret", "10.0.0.1 5", b"another8"),
        cookie_of(b"other", "10.0.0.1 5", NONCE),
    }
    assert len(cookies) == 4


MESSAGES = [
    hello(NONCE, None),
    challenge(NONCE, COOKIE, None),
    encode_car(Car(NONCE, COOKIE, 1, 2, 3), 60),
    encode_ask(ASK, None),
    encode_report(REPORT, None),
]


@given(st.sampled_from(MESSAGES), st.data())
def test_parsers_survive_anything(message: bytes, data: st.DataObject) -> None:
    tail = data.draw(st.binary(max_size=80))
    raw = message[: data.draw(st.integers(0, len(message)))] + tail
    for parse in (
        message_of,
        parse_car,
        lambda each: parse_hello(each, None),
        lambda each: parse_challenge(each, NONCE, None),
        lambda each: parse_ask(each, None),
        lambda each: parse_report(each, ASK, None),
    ):
        try:
            parse(raw)
        except TrainError:
            continue


def test_messages_are_known_by_their_fifth_byte() -> None:
    assert [message_of(each) for each in MESSAGES] == list(Message)
