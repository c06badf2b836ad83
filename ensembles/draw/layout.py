"""Where everything goes: a layered layout from top to bottom, boxes and the labels between them in turn.

A label is a node like any other, and a line crosses a layer only in a lane kept free for it. All bends lie between
layers, where nothing else is, so no line runs over a text.
Source: Sugiyama, Tagawa, Toda (1981), with the median's cousin, the barycentre; positions by isotonic regression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Point = tuple[float, float]
Size = tuple[float, float]  # width, height

LANE = 12.0  # width of a line's lane through a layer
GAP, LEAST_CHANNEL, MOST_CHANNEL = 28.0, 26.0, 84.0
SWEEPS, SETTLING, GRAVITY = 12, 200, 0.05


@dataclass(frozen=True)
class Link:
    """What leads from one box to others, by index; the size is that of its label."""

    source: int
    targets: tuple[int, ...]
    label: Size


@dataclass(frozen=True)
class Rect:
    """A place of a box or a label."""

    x: float
    y: float
    width: float
    height: float

    @property
    def center(self) -> float:
        """The middle of its width."""
        return self.x + self.width / 2


@dataclass(frozen=True)
class Line:
    """A line of a link, from top to bottom: straight through layers, bent between them.

    `points` come in pairs, each pair a straight piece. An arrow stands at a box: at the end, at the start of a line
    that leads back, nowhere on the piece above a label.
    """

    link: int
    points: tuple[Point, ...]
    is_arrow_at_end: bool = False
    is_arrow_at_start: bool = False


@dataclass(frozen=True)
class Layout:
    """Places of boxes and labels in their order, lines, and the size of it all."""

    boxes: tuple[Rect, ...]
    labels: tuple[Rect, ...]
    lines: tuple[Line, ...]
    width: float
    height: float


@dataclass
class _Node:
    layer: int
    width: float
    height: float
    center: float = 0.0
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)


def lay_out(boxes: Sequence[Size], links: Sequence[Link]) -> Layout:
    """Return the layout of boxes, which are given in the order in which the data reaches them."""
    net = _Net(boxes, links)
    layers = _ordered(net.nodes, net.layers())
    _place_across(net.nodes, layers)
    tops, bottoms = _place_down(net, layers)
    left = min((node.center - node.width / 2 for node in net.nodes), default=0.0)
    for node in net.nodes:
        node.center -= left
    rects = [Rect(node.center - node.width / 2, tops[node.layer], node.width, node.height) for node in net.nodes]
    lines = tuple(_line(net, one, tops, bottoms) for one in _with_ports(net))
    width = max((rect.x + rect.width for rect in rects), default=0.0)
    count = len(boxes)
    return Layout(
        tuple(rects[:count]), tuple(rects[count : count + len(links)]), lines, width, max(bottoms, default=0.0)
    )


@dataclass(frozen=True)
class _Segment:
    """A piece of a link, between nodes of neighbouring layers."""

    link: int
    upper: int
    lower: int
    is_arrow_at_end: bool
    is_arrow_at_start: bool


class _Net:
    """The nodes in layers: box i is node i, the label of link j is node len(boxes) + j, then come the lanes."""

    def __init__(self, boxes: Sequence[Size], links: Sequence[Link]) -> None:
        ranks = _ranks(len(boxes), links)
        self.box_count = len(boxes)
        self.nodes = [_Node(2 * rank, *size) for rank, size in zip(ranks, boxes, strict=True)]
        self.segments: list[_Segment] = []
        for link in links:
            top = min(ranks[link.source], *(ranks[target] for target in link.targets)) if _is_back(link) else None
            rank = ranks[link.source] if top is None else top
            self.nodes.append(_Node(2 * rank + 1, *link.label))
        for index, link in enumerate(links):
            self._connect(index, link, self.box_count + index)

    def layers(self) -> list[list[int]]:
        """Return the nodes of each layer."""
        found: list[list[int]] = [[] for _ in range(max((node.layer for node in self.nodes), default=-1) + 1)]
        for index, node in enumerate(self.nodes):
            found[node.layer].append(index)
        return found

    def _connect(self, index: int, link: Link, label: int) -> None:
        """Join the label with its boxes; one lane leads past the layers between, as far as the last target."""
        layer = self.nodes[label].layer
        ends = dict.fromkeys((link.source, *link.targets))
        uppers = [end for end in ends if self.nodes[end].layer < layer]
        lowers = [end for end in ends if self.nodes[end].layer > layer]
        for end in uppers:
            is_target = end in link.targets
            self._segment(_Segment(index, end, label, is_arrow_at_end=False, is_arrow_at_start=is_target))
        at = label
        for below in range(layer + 1, max((self.nodes[end].layer for end in lowers), default=layer) + 1):
            for end in lowers:
                if self.nodes[end].layer == below:
                    is_target = end in link.targets
                    self._segment(_Segment(index, at, end, is_arrow_at_end=is_target, is_arrow_at_start=False))
            if any(self.nodes[end].layer > below for end in lowers):
                self.nodes.append(_Node(below, LANE, 0.0))
                lane = len(self.nodes) - 1
                self._segment(_Segment(index, at, lane, is_arrow_at_end=False, is_arrow_at_start=False))
                at = lane

    def _segment(self, segment: _Segment) -> None:
        self.segments.append(segment)
        self.nodes[segment.upper].below.append(segment.lower)
        self.nodes[segment.lower].above.append(segment.upper)


def _is_back(link: Link) -> bool:
    return any(target <= link.source for target in link.targets)


def _ranks(count: int, links: Sequence[Link]) -> list[int]:
    """Return each box's rank, one below the lowest that leads to it; what leads back counts the other way round."""
    leads: list[list[int]] = [[] for _ in range(count)]
    for link in links:
        for target in link.targets:
            if target != link.source:
                leads[max(link.source, target)].append(min(link.source, target))
    ranks: list[int] = []
    for needed in leads:
        ranks.append(max((ranks[one] + 1 for one in needed), default=0))
    return ranks


def _ordered(nodes: Sequence[_Node], layers: list[list[int]]) -> list[list[int]]:
    """Return the layers in the order with the fewest crossings of those that barycentre sweeps find."""
    best, fewest = [list(layer) for layer in layers], _crossings(nodes, layers)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        downwards = sweep % 2 == 0
        for index in range(1, len(layers)) if downwards else range(len(layers) - 2, -1, -1):
            fixed = {node: place for place, node in enumerate(layers[index - 1 if downwards else index + 1])}
            _sort(nodes, layers[index], fixed, downwards=downwards)
        crossings = _crossings(nodes, layers)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    return best


def _sort(nodes: Sequence[_Node], layer: list[int], fixed: Mapping[int, int], *, downwards: bool) -> None:
    """Sort a layer by the mean place of each node's neighbours; one without any stays about where it is."""
    places = {}
    for place, node in enumerate(layer):
        near = nodes[node].above if downwards else nodes[node].below
        share = place / max(1, len(layer)) * len(fixed)
        places[node] = sum(fixed[one] for one in near) / len(near) if near else share
    layer.sort(key=places.__getitem__)


def _crossings(nodes: Sequence[_Node], layers: Sequence[Sequence[int]]) -> int:
    """Return how often lines cross between layers."""
    total = 0
    for upper, lower in pairwise(layers):
        places = {node: place for place, node in enumerate(lower)}
        seen = [0] * len(lower)  # how many lines end at each place so far
        for node in upper:
            ends = sorted(places[end] for end in nodes[node].below)
            total += sum(sum(seen[end + 1 :]) for end in ends)
            for end in ends:
                seen[end] += 1
    return total


def _place_across(nodes: Sequence[_Node], layers: Sequence[Sequence[int]]) -> None:
    """Give every node the middle of its neighbours as far as its own layer has room; lanes pull most."""
    for layer in layers:
        _settle(nodes, layer, [(0.0, 1.0)] * len(layer))
    for sweep in range(2 * SWEEPS + SETTLING):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            _settle(nodes, layer, [_wanted(nodes, node, sweep) for node in layer])


def _wanted(nodes: Sequence[_Node], index: int, sweep: int) -> tuple[float, float]:
    """Return the place that a node is drawn to, and how strongly: from one side, in the last sweeps from both."""
    node = nodes[index]
    sides = [node.above, node.below] if sweep % 2 == 0 else [node.below, node.above]
    near = [*node.above, *node.below] if sweep >= 2 * SWEEPS else sides[0] or sides[1]
    pulls = [(nodes[one].center, _pull(node, nodes[one])) for one in near]
    strength = GRAVITY + sum(pull for _, pull in pulls)  # towards 0: what nothing joins to the rest comes near it
    return sum(place * pull for place, pull in pulls) / strength, strength


def _pull(one: _Node, other: _Node) -> float:
    """Return how much two joined nodes want to be in line: a lane with itself most, a chain more than a fork.

    Source: Gansner et al., A Technique for Drawing Directed Graphs (1993).
    """
    lanes = (one.height == 0) + (other.height == 0)
    upper, lower = (one, other) if one.layer < other.layer else (other, one)
    is_chain = len(upper.below) == len(lower.above) == 1
    return 24.0 if lanes == 2 else 4.0 if is_chain else 0.4 if lanes else 1.0


def _settle(nodes: Sequence[_Node], layer: Sequence[int], wanted: Sequence[tuple[float, float]]) -> None:
    """Move a layer's nodes to the places nearest to those wanted (weighted least squares) that keep their distance."""
    offsets = [0.0]
    for left, right in pairwise(layer):
        is_tight = LANE in (nodes[left].width, nodes[right].width)
        gap = 0.7 * GAP if is_tight else GAP
        offsets.append(offsets[-1] + (nodes[left].width + nodes[right].width) / 2 + gap)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, count: pooled where one would lie behind the next
    for (place, pull), offset in zip(wanted, offsets, strict=False):
        mean, weight, count = place - offset, pull, 1
        while blocks and blocks[-1][0] > mean:
            other, heavier, others = blocks.pop()
            mean = (mean * weight + other * heavier) / (weight + heavier)
            weight, count = weight + heavier, count + others
        blocks.append((mean, weight, count))
    places = [mean for mean, _, count in blocks for _ in range(count)]
    for node, place, offset in zip(layer, places, offsets, strict=False):
        nodes[node].center = place + offset


def _place_down(net: _Net, layers: Sequence[Sequence[int]]) -> tuple[list[float], list[float]]:
    """Return where each layer starts and ends; the further its lines go aside, the more room is above it."""
    aside = [0.0] * (len(layers) + 1)
    for segment in net.segments:
        upper, lower = net.nodes[segment.upper], net.nodes[segment.lower]
        aside[lower.layer] = max(aside[lower.layer], abs(lower.center - upper.center))
    tops: list[float] = []
    bottoms: list[float] = []
    for index, layer in enumerate(layers):
        channel = min(MOST_CHANNEL, LEAST_CHANNEL + 0.08 * aside[index]) if index else 0.0
        tops.append((bottoms[-1] if bottoms else 0.0) + channel)
        bottoms.append(tops[-1] + max((net.nodes[node].height for node in layer), default=0.0))
    return tops, bottoms


def _with_ports(net: _Net) -> list[tuple[_Segment, float, float]]:
    """Return the segments with the places where each leaves and arrives, side by side at a box, in order."""
    leaving: dict[int, list[_Segment]] = {}
    arriving: dict[int, list[_Segment]] = {}
    for segment in net.segments:
        leaving.setdefault(segment.upper, []).append(segment)
        arriving.setdefault(segment.lower, []).append(segment)
    starts = {
        one: place
        for node, ones in leaving.items()
        for one, place in _ports(net, node, sorted(ones, key=lambda one: net.nodes[one.lower].center))
    }
    ends = {
        one: place
        for node, ones in arriving.items()
        for one, place in _ports(net, node, sorted(ones, key=lambda one: net.nodes[one.upper].center))
    }
    return [(segment, starts[segment], ends[segment]) for segment in net.segments]


def _ports(net: _Net, index: int, ordered: Sequence[_Segment]) -> list[tuple[_Segment, float]]:
    node = net.nodes[index]
    if index >= net.box_count:  # a label or a lane: all lines through its middle
        return [(one, node.center) for one in ordered]
    step = min(26.0, (node.width - 24) / len(ordered))
    first = node.center - step * (len(ordered) - 1) / 2
    return [(one, first + step * place) for place, one in enumerate(ordered)]


def _line(net: _Net, ported: tuple[_Segment, float, float], tops: Sequence[float], bottoms: Sequence[float]) -> Line:
    """Return a segment as drawn: straight out of its layer, then bent, then straight into the next."""
    segment, start, end = ported
    upper, lower = net.nodes[segment.upper], net.nodes[segment.lower]
    out = (start, tops[upper.layer] + upper.height), (start, bottoms[upper.layer])
    is_lane = segment.lower >= net.box_count and lower.height == 0
    into = (end, tops[lower.layer]), (end, bottoms[lower.layer] if is_lane else tops[lower.layer])
    if upper.height == 0 and segment.upper >= net.box_count:  # a lane's own way through its layer is drawn already
        out = (start, bottoms[upper.layer]), (start, bottoms[upper.layer])
    return Line(segment.link, (*out, *into), segment.is_arrow_at_end, segment.is_arrow_at_start)
