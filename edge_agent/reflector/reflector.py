"""A reflector: STAMP, capacity trains and bulk transfers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from edge_agent.reflector.admission import Admission
from edge_agent.reflector.bulk_responder import BulkResponder
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.stamp_responder import StampResponder
from edge_agent.reflector.tally import Tally
from edge_agent.reflector.train_responder import TrainResponder


class Reflector:
    """All that this machine answers; ``start``, ``run`` until cancelled, ``close``."""

    def __init__(self, settings: ReflectorSettings) -> None:
        # A rate for each service: what a flood of one uses up, the others still have.
        self._admissions = stamp, train, bulk = [Admission(settings) for _ in range(3)]
        self.tally = Tally()
        self.stamp = StampResponder(settings, stamp, tally=self.tally)
        self.train = TrainResponder(settings, train, tally=self.tally)
        self._services: dict[str, StampResponder | TrainResponder | BulkResponder] = {
            "stamp": self.stamp,
            "train": self.train,
        }
        if settings.bulk:
            self._services["bulk"] = BulkResponder(settings, bulk, self.tally)

    async def start(self) -> None:
        """Listen on every port; raises ProbeError when one of them cannot be had, and then holds none."""
        try:
            for service in self._services.values():
                await service.start()
        except BaseException:
            self.close()
            raise

    async def run(self) -> None:
        """Answer until cancelled."""
        await asyncio.Event().wait()

    @property
    def counters(self) -> Mapping[str, int]:
        """What was answered and what was not since the start, as "stamp.reflected"."""
        counts = {
            f"{name}.{what}": count
            for name, service in self._services.items()
            for what, count in service.counters.items()
        }
        refused = sum(each.refused for each in self._admissions)
        limited = sum(each.limited for each in self._admissions)
        return counts | {"refused": refused, "limited": limited, "over_budget": self.tally.withheld}

    def close(self) -> None:
        """Stop listening; it may be called twice."""
        for service in self._services.values():
            service.close()


async def serve(settings: ReflectorSettings) -> None:
    """Answer until cancelled; raises ProbeError when a port cannot be had."""
    reflector = Reflector(settings)
    await reflector.start()
    try:
        await reflector.run()
    finally:
        reflector.close()
