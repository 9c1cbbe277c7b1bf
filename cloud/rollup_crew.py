"""Work for many gateways: several at once, and again where it failed for now, as long as time remains."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from cloud.dynamo import Patience, RefusedError, TransientError

WORKERS = 8
"""Gateways at once, below botocore's 10 connections."""


def do_all(
    names: list[str],
    work: Callable[[str], None],
    patience: Patience,
    workers: int,
    refused: Callable[[str, str], None],
) -> Mapping[str, str]:
    """Do the work for each name; returns those that are left, each with the reason.

    One that DynamoDB will never take, or that fails twice in a way nobody foresaw, is done, and handed to
    ``refused`` with the reason, from any thread.
    """
    reasons: dict[str, str] = {}
    failed: set[str] = set()

    def one(name: str) -> bool:
        try:
            if not patience.remains():
                return False
            work(name)
        except TransientError as exc:
            reasons[name] = str(exc)
            return False
        except RefusedError as exc:
            # It would fail for ever, and the others must not wait for it.
            refused(name, str(exc))
        except Exception:
            if name not in failed:
                # Once it may be for want of memory, or of what else passes.
                failed.add(name)
                reasons[name] = traceback.format_exc()
                return False
            # Whatever is wrong with one gateway is no reason to leave the fleet without rollups.
            refused(name, traceback.format_exc())
        return True

    def once(pending: list[str]) -> list[str]:
        if workers == 1:
            return [name for name in pending if not one(name)]
        with ThreadPoolExecutor(workers) as pool:
            return [name for name, done in zip(pending, pool.map(one, pending), strict=True) if not done]

    left = patience.rounds(names, once)
    return {name: reasons.get(name, "no time is left") for name in left}
