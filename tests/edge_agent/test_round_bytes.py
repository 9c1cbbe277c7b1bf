"""What a round may cost, against the packets that really pass an interface in a network namespace."""

from __future__ import annotations

import json

import pytest

from edge_agent.probes import SETTINGS
from edge_agent.profile_settings import METERED
from tests.edge_agent.netns import needs_netns, run_in_netns

# Counts IP packets of the loopback interface, each once: as it leaves.
COUNTING = """
import json, random, socket
from edge_agent.probes import SETTINGS, probe_class
from edge_agent.reflector.reflector import Reflector
from edge_agent.reflector.settings import ReflectorSettings

OUTGOING = 4
capture = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
capture.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
capture.bind(("lo", 0))
capture.setblocking(False)

def counted():
    total = 0
    while True:
        try:
            size, (_, _, kind, _, _) = capture.recvfrom_into(bytearray(1), 0, socket.MSG_TRUNC)
        except BlockingIOError:
            return total
        total += size * (kind == OUTGOING)

async def cost(name, target, **settings):
    chosen = SETTINGS[name](**settings)
    probe = probe_class(name)(chosen)
    counted()
    measured = await probe(ProbedLink("a", target=target))
    await asyncio.sleep(0.2)  # the end of a connection
    probe.close()
    first = measured if not isinstance(measured, (list, tuple)) else measured[0]
    return counted(), chosen.round_bytes(40 if ":" in target else 20), first.values[:3]
"""


def costs(script: str) -> dict[str, list[int]]:
    """What each probe cost, and its round_bytes."""
    done: dict[str, list[int]] = json.loads(run_in_netns(COUNTING + script))
    return done


@needs_netns
@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("size", [18, 32, 1000])
def test_echoes_cost_exactly_what_is_booked(target: str, size: int) -> None:
    found = costs(f"""
async def main():
    found = await cost("echo", "{target}", count=20, spacing_ms=5, size={size})
    print(json.dumps({{"echo": found[:2]}}))
asyncio.run(main())
""")
    real, booked = found["echo"]
    assert real == booked == 2 * 20 * ((20 if target == "127.0.0.1" else 40) + 8 + size)


@needs_netns
@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
def test_stamp_costs_what_is_booked_less_what_is_only_sent_after_a_loss(target: str) -> None:
    found = costs(f"""
async def main():
    reflector = Reflector(ReflectorSettings(enabled=True))
    await reflector.start()
    plain = await cost("stamp", "{target}", count=5, spacing_ms=5)
    padded = await cost("stamp", "{target}", count=5, spacing_ms=5, padding=100)
    reflector.close()
    print(json.dumps({{"plain": plain[:2], "padded": padded[:2]}}))
asyncio.run(main())
""")
    for real, booked in found.values():
        assert real == booked * 5 // 7


@needs_netns
def test_a_capacity_round_keeps_to_what_is_booked() -> None:
    found = costs("""
async def main():
    ip("link", "set", "lo", "mtu", "1500")
    reflector = Reflector(ReflectorSettings(enabled=True))
    await reflector.start()
    found = await cost("capacity", "127.0.0.1")
    reflector.close()
    print(json.dumps({"capacity": found[:2]}))
asyncio.run(main())
""")
    real, booked = found["capacity"]
    assert 0 < real <= booked


@needs_netns
@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
def test_services_cost_no_more_than_is_booked(target: str) -> None:
    found = costs(f"""
class Server(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
    def datagram_received(self, data, sender):
        answer = data[:2] + b"\\x81\\x80" + data[4:6] + bytes(6) + data[12:]
        self.transport.sendto(answer + bytes(512 - len(answer)), sender)

async def page(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\n\\r\\n" + bytes(1 << 20))
    try:
        await writer.drain()
    except OSError:
        pass
    writer.close()

async def main():
    ip("link", "set", "lo", "mtu", "1500")
    loop = asyncio.get_running_loop()
    await asyncio.start_server(page, "{target}", 80)
    await loop.create_datagram_endpoint(Server, ("{target}", 53))
    found = {{
        "connect": await cost("connect", "{target}", port=80),
        "refused": await cost("connect", "{target}", port=81),
        "dns": await cost("dns", "{target}"),
        "http": await cost("http", "{target}", port=80, tls=False),
    }}
    print(json.dumps({{name: [*each[:2], each[2][1]] for name, each in found.items()}}))
asyncio.run(main())
""")
    answered = {name: values[2] for name, values in found.items()}
    assert answered == {"connect": 3, "refused": 0, "dns": 3, "http": 1}
    for name, (real, booked, _) in found.items():
        assert 0 < real <= booked, name


@needs_netns
def test_silence_costs_no_more_than_is_booked() -> None:
    found = costs("""
async def main():
    subprocess.run(["ip", "addr", "add", "10.1.1.1/24", "dev", "lo"], check=True)
    # A listener whose queue is full answers no further SYN.
    full = socket.socket()
    full.bind(("10.1.1.1", 80))
    full.listen(0)
    held = [socket.socket() for _ in range(4)]
    for each in held:
        each.setblocking(False)
        each.connect_ex(("10.1.1.1", 80))
    await asyncio.sleep(0.2)
    found = await cost("connect", "10.1.1.1", port=80, timeout_s=5)
    print(json.dumps({"connect": [*found[:2], found[2][1]]}))
asyncio.run(main())
""")
    real, booked, connected = found["connect"]
    assert connected == 0
    assert 0 < real <= booked


@pytest.mark.parametrize("name", ["interface", "load", "host", "simulated"])
def test_what_is_read_from_this_machine_is_free(name: str) -> None:
    assert SETTINGS[name]().round_bytes(40) == 0
    assert METERED[name]().round_bytes(40) == 0


def test_every_probe_that_sends_says_what_it_costs() -> None:
    free = {name for name, settings in SETTINGS.items() if not settings().round_bytes(20)}
    assert free == {"interface", "load", "host", "simulated"}
