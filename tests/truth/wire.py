"""The wire: a process that carries frames between two interfaces, shaped, and logs each of them.

The interfaces are the wire's ends of two veth pairs; it reads and writes whole frames on packet sockets,
and the kernel's receive stamp tells when a frame came in, however late the wire got to read it. It writes
a frame on its deadline: it sleeps until shortly before and spins then, on a CPU of its own and in real time
where the machine allows that. On standard input it takes the commands ``waiting`` (answer: the number of
frames that it holds) and ``log`` (answer: a line of JSON for each frame, then ``end`` and the number of
frames that it missed because its own queue was full).
"""

from __future__ import annotations

import array
import fcntl
import gc
import heapq
import json
import os
import select
import socket
import struct
import sys
import time
from typing import Any

from tests.truth.passage import HEAD_BYTES, shaped
from tests.truth.shape import Direction, Shape, Verdict

_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_IGNORE_OUTGOING = 263, 6, 23
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35
_SIOCETHTOOL, _ETHTOOL_STXCSUM, _ETHTOOL_SGSO = 0x8946, 0x17, 0x24
_BUFFER_BYTES = 64 << 20
_FRAME_BYTES = 2048
SPIN_NS = 400_000
"""Timers of a virtual machine fire up to about 0.3 ms late; from here on it spins instead."""
LATEST_READ_NS = 1_000_000_000
"""An older stamp means that the wall clock was set meanwhile: the time of reading is taken then."""
HELD_FRAMES = 200_000
LOGGED_FRAMES = 2_000_000
_UNSHAPED = "unshaped"


def own_cpu() -> int | None:
    """The CPU for the wire alone: the last of two or more."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[-1] if len(cpus) > 1 else None


def _socket(interface: str) -> socket.socket:
    """A packet socket on one interface that sees what comes in, stamped by the kernel."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    opened.setblocking(False)
    opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    opened.bind((interface, 0))
    return opened


def _plain(interface: str) -> None:
    """Have the kernel write checksums and cut segments itself: the wire wants frames as they go out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in (_ETHTOOL_STXCSUM, _ETHTOOL_SGSO):
            value = array.array("I", (command, 0))
            fcntl.ioctl(
                any_socket, _SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), value.buffer_info()[0])
            )


class End:
    """One end of the wire: where frames of a direction come in, and where they go."""

    def __init__(self, name: str, source: socket.socket, sink: socket.socket, model: Direction) -> None:
        self.name, self.source, self.sink, self.model = name, source, sink, model
        self.index = -1


Logged = list[Any]


class Wire:
    """Both directions, what they hold, and the log."""

    def __init__(self, near: socket.socket, far: socket.socket, out: Direction, back: Direction) -> None:
        self._ends = (End("out", near, far, out), End("back", far, near, back))
        self._sources = [near.fileno(), far.fileno(), sys.stdin.fileno()]
        self._held: list[tuple[int, int, socket.socket, bytes, Logged]] = []
        self._log: list[Logged] = []
        self._first_ns = 0
        self._order = 0

    def run(self) -> None:
        """Carry frames until standard input ends."""
        clock = time.monotonic_ns
        while True:
            now_ns = clock()
            left_ns = self._held[0][0] - now_ns if self._held else 500_000_000
            if left_ns <= 0:
                self._write_next()
                continue  # whatever else is due goes before anything is read
            sleep_s = max(left_ns - SPIN_NS, 0) / 1e9
            if self._read() or not sleep_s:
                continue
            ready = select.select(self._sources, [], [], sleep_s)[0]
            if sys.stdin.fileno() in ready and not self._command():
                return

    def _read(self) -> bool:
        """Take one frame of each direction; whether there was any."""
        came = False
        for end in self._ends:
            try:
                frame, control, _, _ = end.source.recvmsg(_FRAME_BYTES, 64)
            except OSError:  # nothing waits, or the interface is down
                continue
            self._take(end, frame, control)
            came = True
        return came

    def _take(self, end: End, frame: bytes, control: list[tuple[int, int, bytes]]) -> None:
        now_ns, wall_ns = _came_in(control)
        index, verdict = -1, Verdict((now_ns,), _UNSHAPED)
        if shaped(frame):
            self._first_ns = self._first_ns or now_ns
            index = end.index = end.index + 1
            verdict = end.model.offer(now_ns, now_ns - self._first_ns, len(frame))
        due_wall_ns = wall_ns + verdict.due_ns[0] - now_ns if verdict.due_ns else None
        entry = [end.name, index, wall_ns, due_wall_ns, [], verdict.fate, len(frame), frame[:HEAD_BYTES]]
        if len(self._log) < LOGGED_FRAMES:
            self._log.append(entry)
        if verdict.corrupted:
            frame = frame[:-1] + bytes((frame[-1] ^ 0xFF,))
        for due_ns in verdict.due_ns:
            if len(self._held) >= HELD_FRAMES:
                entry[5] = "overflow"
                return
            self._order += 1
            heapq.heappush(self._held, (due_ns, self._order, end.sink, frame, entry))

    def _write_next(self) -> None:
        _, _, sink, frame, entry = heapq.heappop(self._held)
        written_ns = time.time_ns()
        try:
            sink.send(frame)
        except OSError:  # the interface is down: the frame goes the way of all frames there
            entry[5] = "refused"
            return
        entry[4].append(written_ns)

    def _command(self) -> bool:
        """Answer one command; False when the lab has gone."""
        command = os.read(sys.stdin.fileno(), 64).strip()
        if command == b"waiting":
            print(len(self._held), flush=True)
        elif command == b"log":
            for entry in self._log:
                print(json.dumps([*entry[:7], entry[7].hex()]))
            print("end", flush=True)
            print(sum(_missed(end.source) for end in self._ends), flush=True)
        return bool(command)


def _came_in(control: list[tuple[int, int, bytes]]) -> tuple[int, int]:
    """When a frame came in, on the monotonic and the wall clock, ns."""
    now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
    for _, kind, data in control:
        if kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("@ll", data)
            age_ns = wall_ns - seconds * 1_000_000_000 - nanoseconds
            if 0 <= age_ns < LATEST_READ_NS:
                return now_ns - age_ns, wall_ns - age_ns
    return now_ns, wall_ns


def _missed(source: socket.socket) -> int:
    """Frames that did not fit the socket's buffer (packet(7), PACKET_STATISTICS)."""
    return int(struct.unpack("II", source.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1])


def _hurry() -> None:
    """Take a CPU and real-time priority where they can be had, and no garbage collection."""
    cpu = own_cpu()
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    except OSError:
        print("wire: no real-time priority; it will be late more often", file=sys.stderr)
    gc.collect()
    gc.disable()


def main() -> None:
    """Join the interfaces ``near1`` and ``far1`` of this namespace as the argument (JSON) says.

    Their peers ``near0`` and ``far0`` are still here, and are the lab's to take away once we are ready.
    """
    wanted = json.loads(sys.argv[1])
    for interface in ("near0", "far0"):
        _plain(interface)
    near, far = _socket("near1"), _socket("far1")
    models = [Direction(shape(wanted[name]), f"{wanted['seed']}/{name}") for name in ("out", "back")]
    wire = Wire(near, far, *models)
    _hurry()
    print("ready", flush=True)
    wire.run()


def shape(fields: dict[str, Any]) -> Shape:
    """A shape from its JSON."""
    tuples = {"lose": tuple(fields["lose"]), "outages": tuple(map(tuple, fields["outages"]))}
    return Shape(**{**fields, **tuples})


if __name__ == "__main__":
    main()
