"""Paths and neighbours, seen by a short-lived child: scapy's 40 MiB are there only while it looks.

The agent opens the sockets, bound to the link like those of any probe, and hands them to the child,
which so needs no privilege of its own. The child writes one JSON object a line and ends.
"""
