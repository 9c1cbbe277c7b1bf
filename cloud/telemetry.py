"""What an invocation says of itself: one line of metrics, and a line for each record it set aside.

By hand, since Powertools for AWS Lambda would add 7 % to a cold start (`make bench`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from cloud.poison import Poison

NAMESPACE = "Linkpulse"


def metrics(stage: str, now_ms: int, counts: Mapping[str, int]) -> dict[str, object]:
    """The counts in CloudWatch's embedded metric format (EMF specification), by stage."""
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["Stage"]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in counts],
    }
    return {"_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}, "Stage": stage, **counts}


def quarantined(poison: Poison) -> dict[str, object]:
    """A record that was quarantined: which and by what rule; its content stays out of the logs."""
    return {
        "level": "WARNING",
        "event": "quarantined",
        "rule": poison.code,
        "thing": poison.thing,
        "shard": poison.position.shard,
        "sequence": poison.position.sequence,
    }


def retried(failed: Mapping[str, str], sequence: str) -> dict[str, object]:
    """Records that the stream will send again, from which sequence number on, and the reasons."""
    return {
        "level": "WARNING",
        "event": "retried",
        "records": len(failed),
        "sequence": sequence,
        "reasons": sorted(set(failed.values()))[:5],
    }


def say(line: Mapping[str, object]) -> None:
    """Write one line of JSON to stdout, which Lambda takes to CloudWatch Logs."""
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()
