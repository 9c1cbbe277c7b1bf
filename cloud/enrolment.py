"""Gives a gateway its thing, certificate, policy and config, or takes them away; the registry of AWS IoT."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from botocore.exceptions import BotoCoreError, ClientError

from cloud import keys
from cloud.gateway_folder import GatewayFolder, agent_config
from cloud.identity import new_identity
from cloud.target import Target, TargetError, failures

if TYPE_CHECKING:
    from mypy_boto3_iot.client import IoTClient

_LOG = logging.getLogger(__name__)
_OWNER = "linkpulse-stage"
"""Attribute of a thing that says whose it is: thing names are one space for all stages of an account."""
_STILL_ATTACHED = ("DeleteConflictException", "InvalidRequestException")
_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 14.5)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What `add` has made for one gateway."""

    gateway: str
    certificate: str
    """Certificate id, which is also the SHA-256 fingerprint of the certificate."""
    folder: Path


class Enrolment:
    """Gateways of one target; every method raises TargetError with one line."""

    def __init__(self, target: Target, sleep: Callable[[float], None] = time.sleep) -> None:
        self._target = target
        self._sleep = sleep
        self._iot = cast("IoTClient", target.client("iot"))
        self._dynamodb = target.dynamodb()
        self._stage = target.output("Stage")
        self._policy = target.output("PolicyName")
        self._rule = target.output("RuleName")
        self._registry = target.output("RegistryTable")
        self._latest = target.output("LatestTable")
        self._broker = target.broker()

    def exists(self, gateway: str) -> bool:
        """Whether the gateway is enrolled; a thing of this name that is not ours raises TargetError."""
        with failures(self._target):
            try:
                thing = self._iot.describe_thing(thingName=gateway)
            except self._iot.exceptions.ResourceNotFoundException:
                return False
        if thing.get("attributes", {}).get(_OWNER) != self._stage:
            raise TargetError(
                f"{gateway} names a thing that is not of {self._target.place}; it stays as it is"
            )
        return True

    def add(self, gateway: str, output: Path, site: str = "") -> Enrolled:
        """Enrol a gateway, or renew its certificate; what it has made is undone when a step fails.

        The private key is written to the folder ``output``/``gateway`` and never sent.
        """
        known = self.exists(gateway)
        folder = GatewayFolder(output / gateway)
        with failures(self._target), ExitStack() as undo:
            undo.callback(folder.discard)
            identity = new_identity(gateway)
            folder.stage_key(identity.key_pem)
            before = self._principals(gateway) if known else self._make_thing(gateway, undo)
            certificate, pem = self._certify(gateway, identity.csr_pem, undo)
            self._register(gateway, certificate, site, undo, new=not known)
            folder.commit(pem, self._broker.ca, agent_config(gateway, self._broker, self._rule))
            undo.pop_all()
            # Last, so that a gateway is never without a certificate that works.
            for arn in before:
                self._drop_certificate(gateway, arn)
        return Enrolled(gateway, certificate, folder.path)

    def remove(self, gateway: str) -> bool:
        """Remove the gateway's certificates, thing and state, not its readings; whether there was any."""
        known = self.exists(gateway)
        with failures(self._target):
            if known:
                for arn in self._principals(gateway):
                    self._drop_certificate(gateway, arn)
                self._patiently(lambda: self._iot.delete_thing(thingName=gateway))
            return self._forget(gateway) or known

    # --- the parts of an enrolment ----------------------------------------------------------------

    def _make_thing(self, gateway: str, undo: ExitStack) -> list[str]:
        """Make the thing; it has no certificates yet."""
        self._iot.create_thing(thingName=gateway, attributePayload={"attributes": {_OWNER: self._stage}})
        undo.callback(self._undo, self._patiently, lambda: self._iot.delete_thing(thingName=gateway))
        return []

    def _certify(self, gateway: str, csr_pem: str, undo: ExitStack) -> tuple[str, str]:
        """Have the request signed and attach the certificate; its id and PEM."""
        made = self._iot.create_certificate_from_csr(certificateSigningRequest=csr_pem, setAsActive=True)
        arn = made["certificateArn"]
        undo.callback(self._undo, self._drop_certificate, gateway, arn)
        self._iot.attach_policy(policyName=self._policy, target=arn)
        # Exclusive: the certificate can never speak for a second gateway.
        self._iot.attach_thing_principal(
            thingName=gateway, principal=arn, thingPrincipalType="EXCLUSIVE_THING"
        )
        return made["certificateId"], made["certificatePem"]

    def _register(self, gateway: str, certificate: str, site: str, undo: ExitStack, *, new: bool) -> None:
        key = {keys.PARTITION: {"S": gateway}, keys.SORT: {"S": keys.GATEWAY}}
        if new:
            undo.callback(self._undo, self._dynamodb.delete_item, TableName=self._registry, Key=key)
        now = {"N": str(time.time_ns() // 1_000_000)}
        update = (
            "SET certificate = :certificate, certified_ms = :now, added_ms = if_not_exists(added_ms, :now)"
        )
        values = {":certificate": {"S": certificate}, ":now": now}
        if site:
            update, values = f"{update}, site = :site", {**values, ":site": {"S": site}}
        self._dynamodb.update_item(
            TableName=self._registry, Key=key, UpdateExpression=update, ExpressionAttributeValues=values
        )

    def _undo(self, step: Callable[..., object], *args: object, **kwargs: object) -> None:
        """One step back; what cannot be undone is named, and must not hide what went wrong first."""
        try:
            step(*args, **kwargs)
        except (ClientError, BotoCoreError) as exc:
            _LOG.warning("left behind: %s", exc)

    # --- the parts of a removal -------------------------------------------------------------------

    def _principals(self, gateway: str) -> list[str]:
        """Certificates of a thing."""
        pages = self._iot.get_paginator("list_thing_principals").paginate(thingName=gateway)
        return [arn for page in pages for arn in page["principals"]]

    def _drop_certificate(self, gateway: str, arn: str) -> None:
        """Detach, revoke and delete a certificate."""
        certificate = arn.rpartition("/")[2]
        for policy in self._iot.list_attached_policies(target=arn)["policies"]:
            self._iot.detach_policy(policyName=policy["policyName"], target=arn)
        if arn in self._principals(gateway):
            self._iot.detach_thing_principal(thingName=gateway, principal=arn)
        self._iot.update_certificate(certificateId=certificate, newStatus="INACTIVE")
        self._patiently(lambda: self._iot.delete_certificate(certificateId=certificate, forceDelete=True))

    def _patiently(self, delete: Callable[[], object]) -> None:
        """Try until the detachment has spread: it "might take several seconds" (API_DetachThingPrincipal)."""
        for wait_s in _WAITS_S:
            try:
                delete()
                return
            except ClientError as exc:
                if exc.response["Error"]["Code"] not in _STILL_ATTACHED:
                    raise
            self._sleep(wait_s)
        delete()

    def _forget(self, gateway: str) -> bool:
        """Delete what the tables say about the gateway, but for its readings; whether they said anything."""
        registry = ({keys.PARTITION: {"S": gateway}, keys.SORT: {"S": s}} for s in (keys.GATEWAY, keys.LINKS))
        items = [(self._registry, key) for key in registry]
        items.append((self._latest, {keys.LATEST_KEY: {"S": gateway}}))
        deleted = [
            self._dynamodb.delete_item(TableName=table, Key=key, ReturnValues="ALL_OLD").get("Attributes")
            for table, key in items
        ]
        return any(deleted)
