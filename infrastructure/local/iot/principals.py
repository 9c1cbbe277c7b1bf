"""Which certificate stands behind a gateway, and whether it may speak, from the engine's registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

FRESH_S = 10.0
"""How long an answer holds; AWS too takes a while to notice a revoked certificate."""
RECHECK_S = 1.0
"""How soon a gateway that was unknown is looked up again: it may just have been enrolled."""
MAX_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class _Answer:
    certificate: str | None
    until_s: float


class Principals:
    """Looks up the active certificate of a thing that has the policy of gateways."""

    def __init__(self, iot: IoTClient, policy: str, monotonic_s: Callable[[], float]) -> None:
        self._iot = iot
        self._policy = policy
        self._now = monotonic_s
        self._answers: dict[str, _Answer] = {}
        self._permitted: frozenset[str] = frozenset()
        self._permitted_until_s = 0.0

    def certificate(self, thing: str) -> str | None:
        """The certificate's id, None when the thing has none that is active and has the policy.

        The broker does not tell which of several certificates a connection used: the last one then.
        """
        answer = self._answers.get(thing)
        if answer is None or self._now() >= answer.until_s:
            answer = self._look_up(thing)
            if len(self._answers) >= MAX_REMEMBERED:
                self._answers.clear()
            self._answers[thing] = answer
        return answer.certificate

    def _look_up(self, thing: str) -> _Answer:
        attached = self._attached(thing)
        if self._now() >= self._permitted_until_s or not self._permitted.issuperset(attached):
            self._permitted = self._find_permitted()
            self._permitted_until_s = self._now() + FRESH_S
        permitted = [arn for arn in attached if arn in self._permitted]
        if not permitted:
            return _Answer(None, self._now() + RECHECK_S)
        return _Answer(permitted[-1].rpartition("/")[2], self._now() + FRESH_S)

    def _attached(self, thing: str) -> list[str]:
        try:
            return self._iot.list_thing_principals(thingName=thing)["principals"]
        except ClientError as exc:
            if exc.response["Error"]["Code"] not in ("ResourceNotFoundException", "InvalidRequestException"):
                raise
            return []

    def _find_permitted(self) -> frozenset[str]:
        """ARNs of all active certificates with the policy: a few calls for a whole fleet."""
        certificates = self._iot.get_paginator("list_certificates").paginate()
        active = {
            each["certificateArn"]
            for page in certificates
            for each in page["certificates"]
            if each["status"] == "ACTIVE"
        }
        targets = self._iot.get_paginator("list_targets_for_policy").paginate(policyName=self._policy)
        return frozenset(arn for page in targets for arn in page["targets"] if arn in active)
