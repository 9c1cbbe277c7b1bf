"""The peer: a thread for each link, paho, a JSON message for each reading, no spool."""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import socket
import ssl
import struct
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

GATEWAY = "gw-0001"
TOPIC = f"$aws/rules/linkpulse_bench_ingest/v1/{GATEWAY}/m"
ENDPOINT = "a1b2c3d4e5f6g7-ats.iot.eu-central-1.amazonaws.com"
PORT = 8883
ECHOES, SPACING_S = 5, 0.2


def ping(target: str) -> list[float]:
    """Round trips of ECHOES requests, ms; those that were lost are missing."""
    trips = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as sender:
        sender.settimeout(SPACING_S)
        for number in range(ECHOES):
            started = time.monotonic()
            sender.sendto(struct.pack("!BBHHH", 8, 0, 0, 0, number) + os.urandom(56), (target, 0))
            try:
                sender.recv(1024)
                trips.append((time.monotonic() - started) * 1000)
            except TimeoutError:
                pass
            time.sleep(max(0.0, started + SPACING_S - time.monotonic()))
    return trips


def invented(_target: str) -> list[float]:
    """Round trips without a packet, to look at the publishing alone."""
    return [20 + random.expovariate(1) for _ in range(ECHOES)]


def reading(link: str, trips: list[float]) -> bytes:
    """The message of one round."""
    content = {"gateway": GATEWAY, "link": link, "kind": "echo", "at_ms": int(time.time() * 1000)}
    figures = {"sent": ECHOES, "received": len(trips)}
    if trips:
        mean = sum(trips) / len(trips)
        figures |= {"rtt_min_us": int(min(trips) * 1000), "rtt_max_us": int(max(trips) * 1000)}
        figures |= {
            "rtt_mean_us": int(mean * 1000),
            "rtt_median_us": int(sorted(trips)[len(trips) // 2] * 1000),
        }
        deviation = math.sqrt(sum((trip - mean) ** 2 for trip in trips) / len(trips))
        figures |= {"rtt_stddev_us": int(deviation * 1000)}
    return json.dumps({**content, **figures}).encode()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("ca", "certificate", "key"):
        parser.add_argument(name)
    parser.add_argument("--links", type=int, default=20)
    parser.add_argument("--period", type=float, default=10)
    parser.add_argument("--invent", action="store_true")
    options = parser.parse_args()
    context = ssl.create_default_context(cafile=options.ca)
    context.load_cert_chain(options.certificate, options.key)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, GATEWAY, protocol=mqtt.MQTTv5)
    client.tls_set_context(context)
    client.connect(ENDPOINT, PORT, keepalive=1200)
    client.loop_start()
    measure = invented if options.invent else ping

    def watch(number: int) -> None:
        time.sleep(options.period * number / options.links)
        due = time.monotonic()
        while True:
            client.publish(
                TOPIC, reading(f"site-{number:02d}:wlan0", measure(f"127.0.1.{number + 1}")), qos=1
            )
            due += options.period
            time.sleep(max(0.0, due - time.monotonic()))

    threads = [threading.Thread(target=watch, args=(number,)) for number in range(options.links)]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main()
