"""The two profiles: which links, interfaces and ways out are metered, and what that means (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from edge_agent.budget.calendar_windows import DAY_S
from edge_agent.budget.limits import Limits, limits
from edge_agent.config import Config, LinkSettings
from edge_agent.probes import Settings

METERED_MEDIA = frozenset(
    {"lte", "vsat", "cellular", "satellite", "mobile", "gsm", "gprs", "umts", "hspa", "iridium"}
    | {"2g", "3g", "4g", "5g", "wwan", "nbiot", "ltem", "starlink", "bgan"}
)
"""Words of a link's medium by which "auto" takes it for metered."""
_WORD = re.compile(r"[a-z0-9]+")


def parent(device: str) -> str:
    """The interface that carries a VLAN's own (eth0 of eth0.100)."""
    return device.partition(".")[0]


class Profile:
    """What a configuration makes of its links and interfaces."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.kind = config.gateway.profile
        """auto, open or metered."""
        self.declared = frozenset(config.budget.interfaces)
        self.metered_links = frozenset(link.id for link in config.links if self._is_metered(link))
        """The ids of the links that are measured by [metered.NAME]."""
        self.meters = self.declared | self._devices_of_metered_links()
        """The interfaces that are known to be metered."""
        unbound = [link for link in config.links if not link.probed.device]
        all_dear = self.metered_links.issuperset(link.id for link in unbound)
        self.unbound = tuple(link.probed for link in unbound) if all_dear else ()
        """Metered links that name no interface, where no open link does so: where they leave, bytes cost."""
        self.open_devices = frozenset(
            link.probed.device for link in config.links if link.id not in self.metered_links
        )
        """What open links name: a metered link beside them tells nothing of the interface."""

    @property
    def is_anything_metered(self) -> bool:
        """Whether a ledger is needed at all."""
        return bool(self.meters or self.metered_links) or self.kind == "metered"

    @property
    def is_gateway_metered(self) -> bool:
        """Whether the gateway's own readings are dear: where it has no way out that is not."""
        ids = [link.id for link in self._config.links]
        return self.kind == "metered" or (bool(ids) and self.metered_links.issuperset(ids))

    def _is_metered(self, link: LinkSettings) -> bool:
        if self.kind != "auto":
            return self.kind == "metered"
        is_dear = not METERED_MEDIA.isdisjoint(_WORD.findall(link.medium.lower()))
        return link.metered or is_dear or bool(self.declared_of(link.probed.device))

    def declared_of(self, device: str) -> str:
        """The interface of [budget] that a device is, or is a VLAN of; or nothing."""
        return next((each for each in (device, parent(device)) if each and each in self.declared), "")

    def _devices_of_metered_links(self) -> frozenset[str]:
        """Where nothing but metered links is: an interface may have open ones beside them."""
        devices: dict[str, bool] = {}
        for link in self._config.links:
            device = link.probed.device
            devices[device] = devices.get(device, True) and link.id in self.metered_links
        return frozenset(device for device, metered in devices.items() if device and metered)

    def meter_of(self, device: str) -> str:
        """The metered interface that a packet passes which leaves by this device; "" where bytes are free."""
        if device in ("", "lo"):
            return ""
        if self.kind == "metered" or device in self.meters:
            return self.declared_of(device) or device
        return self.declared_of(device)

    def settings(self, is_metered: bool) -> dict[str, Settings]:
        """What probes do in a profile, by name."""
        return dict(self._config.metered if is_metered else self._config.probes)

    def limits(self, meter: str) -> Limits:
        """What an interface may carry; by default so much for each metered link that may use it."""
        given = self._config.budget
        links = [link for link in self._config.links if link.id in self.metered_links]
        count = sum(self._uses(link.probed.device, meter) for link in links)
        return limits(given.month_mb, given.day_mb, given.hour_mb, given.reserve, count)

    def _uses(self, device: str, meter: str) -> bool:
        return not device or device == meter or self.declared_of(device) == meter

    def probes_month_bytes(self, meter: str) -> int:
        """What the probes on an interface cost in 30 days at most, over IPv4."""
        total = 0.0
        for link in self._config.links:
            is_metered = link.id in self.metered_links
            device = link.probed.device
            if (device or not is_metered) and not self._uses(device, meter):
                continue
            total += month_bytes(self.settings(is_metered)[name] for name in link.probes)
        return round(total)


def month_bytes(settings: Iterable[Settings], ip_header: int = 20, days: float = 30) -> float:
    """What rounds by these settings cost in so many days at most."""
    return sum(each.round_bytes(ip_header) * days * DAY_S / each.period_s for each in settings)
