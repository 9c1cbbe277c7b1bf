"""Configurations with metered links, and a kernel whose ways out are told."""

from __future__ import annotations

from pathlib import Path

from edge_agent.budget import Purpose
from edge_agent.budget.meters import Meters
from edge_agent.config import Config
from edge_agent.config_load import load
from edge_agent.probes.route import Question, Route
from edge_agent.profile import Profile

HEAD = '[mqtt]\nendpoint="192.0.2.9"\nrule="r"\nca="a"\ncertificate="c"\nkey="k"\n'
NAMES = {2: "eth0", 3: "wwan0", 4: "eth1.100"}


class Roads:
    """Routes that lead by one interface, or nowhere."""

    def __init__(self, index: int = 2) -> None:
        self.index = index
        self.asked: list[Question] = []

    def ask(self, question: Question) -> Route:
        self.asked.append(question)
        if not self.index:
            raise OSError("no route")
        return Route(self.index)

    def close(self) -> None:
        pass


def config(folder: Path, links: str = "", gateway: str = "", more: str = "") -> Config:
    path = folder / "agent.toml"
    path.write_text(f'[gateway]\nname="g"\n{gateway}\n{HEAD}{more}\n{links}')
    return load(path, {}, with_files=False)


def link(name: str, more: str = "", probes: str = '"echo"') -> str:
    return f'[[link]]\nid="{name}"\ntarget="192.0.2.1"\nprobes=[{probes}]\n{more}\n'


def meters(configured: Config, roads: Roads) -> Meters:
    return Meters(Profile(configured), roads, lambda index: NAMES.get(index, ""))


class Account:
    """A Spend that notes everything, and says no from some total on."""

    def __init__(self, limit: int = 10**9) -> None:
        self.limit = limit
        self.total = 0
        self.asked: list[tuple[Purpose, int, str]] = []

    def book(self, purpose: Purpose, size: int, meter: str) -> bool:
        self.asked.append((purpose, size, meter))
        if not meter or self.total + size > self.limit:
            return not meter
        self.total += size
        return True

    def correct(self, purpose: Purpose, more: int, meter: str) -> None:
        self.total += more
