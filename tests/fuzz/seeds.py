"""Where the fuzzer starts: one right message of each kind, for it to bend."""

from __future__ import annotations

import struct

JSON = (
    b'{"version":1,"gateway":"g","epoch":"1","first_sequence":0,"sealed_ms":1,"links":[{"id":"a"}],'
    b'"readings":[{"link":"a","kind":"interface","at_ms":1,"flags":["clock_synced"],"up":1}]}'
)
BODY = bytes.fromhex(
    "016700000000000000010000000000000000000000000000000500000000000000050101016101700000000831302e30"
    "2e302e310000010500000200000000000000000004000000000509000002020000020000000000000000000003000000"
    "0000000000000000000000000000000000000000000000000000000000"
)
"""Two readings of kind dns, of a link with its definition."""
DNS = b"\0\1\0\1\0\0\0\0\7example\3com\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\1"
ROUTE = struct.pack("=IHHII", 44, 24, 0, 1, 0) + struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 0, 0, 1, 0)
ROUTE += struct.pack("=HHI", 8, 4, 2) + struct.pack("=HH4s", 8, 5, b"\x0a\0\0\1")
NEIGHBOUR = struct.pack("=IHHII", 48, 28, 2, 1, 0) + struct.pack("=BxxxiHBB", 2, 1, 2, 0, 1)
NEIGHBOUR += struct.pack("=HH4s", 8, 1, b"\x0a\0\0\1") + struct.pack("=HH6sxx", 10, 2, b"\2\0\0\0\0\1")
CONTINUE = b"HTTP/1.1 100 Continue\r\nDate: x\r\n\r\nHTTP/1.1 404 Not Found\r\n"
STATION = struct.pack("=IHHII", 40, 28, 2, 1, 0) + bytes(4) + struct.pack("=HH", 20, 0x8015)
STATION += struct.pack("=HHbxxx", 5, 7, -60) + struct.pack("=HHI", 8, 8, 0)
HOP = b'{"hop":1,"sent":3,"answered":3,"address":"10.0.0.1","rtt_us":812,"reached":false}'
NEAR = b'{"protocol":"lldp","mac":"02:00:00:00:00:07","address":"fe80::1","port":"1","name":"n","ttl_s":120}'
EXCEEDED = bytes.fromhex(
    "45000038000100004001000003030303010101010b00bf8400000000"
    "4500002000010000011100000a0000010a0009099c40829a000c0000"
)
LLDP = bytes.fromhex("0180c200000e02000000000788cc02070402000000000704030531060200780a03746f770000")
