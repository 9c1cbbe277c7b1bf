"""NetJSON of others: nodes known by addresses, ids of any sort, links in both directions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cloud.registry_file import read
from cloud.registry_metadata import LinkMetadata, Metadata
from cloud.registry_rows import FileError
from edge_agent.contract import GATEWAY_PATTERN
from tests.cloud.views import View

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cloud.conftest import Cloud

Node = dict[str, Any]


GRAPH: dict[str, Any] = {
    "type": "NetworkGraph",
    "protocol": "static",
    "version": None,
    "metric": None,
    "nodes": [
        {"id": "gw-1", "properties": {"site": "Hill", "latitude": -33.9, "longitude": 18.4}},
        {"id": "gw-2"},
    ],
    "links": [
        {
            "source": "gw-1",
            "target": "gw-2",
            "cost": 1.0,
            "properties": {"medium": "radio", "capacity_mbps": 54},
        },
        {"source": "gw-2", "target": "gw-1", "cost": 1.0, "properties": {"capacity_kbps": 10_000}},
    ],
}


def graph(nodes: list[Node], links: list[Node] | None = None) -> bytes:
    document = {"type": "NetworkGraph", "protocol": "OLSR", "version": "0.6", "metric": "ETX"}
    return json.dumps({**document, "nodes": nodes, "links": links or []}).encode()


def errors(content: bytes) -> list[str]:
    with pytest.raises(FileError) as found:
        read(content)
    return found.value.messages


def test_a_netjson_graph_tells_of_nodes_and_of_links_in_both_directions() -> None:
    """What a link says holds for both directions, until the other direction says otherwise."""
    assert read(json.dumps(GRAPH).encode()).gateways == {
        "gw-1": Metadata("Hill", "", -33.9, 18.4, {}, {"gw-2": LinkMetadata("radio", 54_000)}),
        "gw-2": Metadata(peers={"gw-1": LinkMetadata("radio", 10_000)}),
    }


def test_an_error_in_netjson_is_named_with_the_line_of_its_object() -> None:
    text = json.dumps(GRAPH, indent=1).replace("-33.9", "-133.9")
    line = next(number for number, each in enumerate(text.splitlines(), 1) if '"gw-1"' in each) - 1
    assert errors(text.encode()) == [f"line {line}: latitude -133.9 is not within -90 and 90 degrees"]
    assert errors(b'{"type": "NetworkGraph",\n "nodes": [}')[0].startswith("line 2: ")
    assert errors(b'{"type": "NetworkGraph", "nodes": [' + b"9" * 5_000 + b"]}") == [
        "line 1: a number is too long"
    ]
    assert errors(b'{"type": "NetworkRoutes"}') == [
        "line 1: NetJSON of type 'NetworkRoutes', not NetworkGraph"
    ]


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ({"id": "gw-1"}, "gw-1"),
        ({"id": 17}, "17"),
        ({"id": "172.16.146.6"}, "172-16-146-6"),
        ({"id": "fe80::ba27:ebff"}, "fe80-ba27-ebff"),
        ({"id": "10.0.0.1", "label": "hill"}, "hill"),
        ({"id": "10.0.0.1", "label": "The hill"}, "10-0-0-1"),
        ({"id": "10.0.0.1", "label": "hill", "properties": {"name": "n"}}, "n"),
        ({"id": "10.0.0.1", "properties": {"name": "n", "hostname": "h"}}, "h"),
        ({"id": "id", "label": "hill", "properties": {"gateway": "gw-9", "hostname": "h"}}, "gw-9"),
    ],
)
def test_a_node_is_the_gateway_that_it_names_or_that_its_id_can_be(node: Node, name: str) -> None:
    file = read(graph([node]))
    assert list(file.gateways) == [name]
    assert GATEWAY_PATTERN.fullmatch(name)
    assert file.renamed == ({} if str(node["id"]) == name else {str(node["id"]): name})


def test_links_lead_to_the_gateways_of_their_ends_also_where_a_node_is_not_listed() -> None:
    nodes: list[Node] = [{"id": "10.0.0.1", "label": "hill"}, {"id": "10.0.0.2"}]
    links: list[Node] = [
        {"source": "10.0.0.1", "target": "10.0.0.2", "cost": 1.29, "properties": {"medium": "radio"}},
        {"source": "10.0.0.2", "target": "10.0.0.3", "cost": 1.0},
    ]
    file = read(graph(nodes, links))
    assert {name: dict(each.peers) for name, each in file.gateways.items()} == {
        "hill": {"10-0-0-2": LinkMetadata("radio")},
        "10-0-0-2": {"hill": LinkMetadata("radio"), "10-0-0-3": LinkMetadata()},
        "10-0-0-3": {"10-0-0-2": LinkMetadata()},
    }
    assert file.renamed == {"10.0.0.1": "hill", "10.0.0.2": "10-0-0-2", "10.0.0.3": "10-0-0-3"}


def test_each_direction_may_say_its_own_in_any_order() -> None:
    def link(source: str, target: str, capacity: int) -> Node:
        return {"source": source, "target": target, "properties": {"capacity_kbps": capacity}}

    there, back = link("a", "b", 10), link("b", "a", 20)
    for links in ([there, back], [back, there]):
        found = read(graph([], links)).gateways
        assert found == {
            "a": Metadata(peers={"b": LinkMetadata(capacity_kbps=10)}),
            "b": Metadata(peers={"a": LinkMetadata(capacity_kbps=20)}),
        }
    assert errors(graph([], [there, link("a", "b", 30)])) == [
        "line 1: capacity_kbps of a peer b is 30, but 10 in line 1"
    ]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [{"id": "10.0.0.1"}, {"id": "10:0:0:1"}],
            "'10.0.0.1' and '10:0:0:1' would both be gateway 10-0-0-1",
        ),
        ([{"id": "a b", "label": "x"}, {"id": "x"}], "'a b' and 'x' would both be gateway x"),
        ([{"id": "1.2", "label": "x"}, {"id": "1.2", "label": "y"}], "'1.2' is there twice, as x and as y"),
        ([{"id": "東京"}], "'東京' cannot be a gateway's name: give its node properties.gateway"),
        ([{"id": "a", "properties": {"gateway": "a/b"}}], "'a/b' cannot be a gateway's name"),
        ([{}], "no id is given"),
        ([{"id": ["a"]}], "id \"['a']\" is no text"),
        ([{"id": True}], "id 'True' is no text"),
        ([{"id": "a", "properties": {"site": {"x": 1}}}], "site is neither text nor a number"),
        ([{"id": "a", "properties": {"latitude": True, "longitude": 1}}], "latitude is neither text nor"),
    ],
)
def test_ids_that_are_no_gateways_or_the_same_one_are_named(nodes: list[Node], message: str) -> None:
    (said,) = errors(graph(nodes))
    assert said.startswith("line 1: ")
    assert message in said


def test_what_was_renamed_is_told(cloud: Cloud, view: View, tmp_path: Path) -> None:
    path = tmp_path / "mesh.json"
    path.write_bytes(graph([{"id": "10.0.0.1"}, {"id": "gw-2", "properties": {"site": "x"}}]))
    assert view.json("registry", "import", str(path))["renamed"] == {"10.0.0.1": "10-0-0-1"}
    assert "1 node renamed, 10.0.0.1 to 10-0-0-1 first" in view("registry", "import", str(path))[1]


def test_without_a_standard_input_is_one_line(
    cloud: Cloud, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    code, _, err = view("registry", "import", "-")
    assert (code, err) == (2, "linkview: there is no standard input\n")
