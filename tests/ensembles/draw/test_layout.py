import itertools
import random

import pytest

from tritonsmith.ensembles.draw.layout import Layout, Link, Rect, lay_out

BOX, LABEL = (180.0, 80.0), (120.0, 20.0)
DIAMOND = [Link(0, (1, 2), LABEL), Link(1, (3,), LABEL), Link(2, (3,), LABEL), Link(0, (3,), LABEL)]


def overlaps(one: Rect, other: Rect) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def crosses(layout: Layout, rect: Rect) -> bool:
    """Whether an upright piece of a line runs through a rectangle; bends are between layers, where none is."""
    return any(
        rect.x < x < rect.x + rect.width and min(y1, y2) < rect.y + rect.height - 0.01 and max(y1, y2) > rect.y + 0.01
        for line in layout.lines
        for (x, y1), (_, y2) in (line.points[:2], line.points[2:])
    )


def random_links(seed: int, boxes: int) -> list[Link]:
    draw = random.Random(seed)
    pairs = [(a, b) for a, b in itertools.combinations(range(boxes), 2) if draw.random() < 0.3]
    backwards = [(b, a) for a, b in pairs if draw.random() < 0.1]
    return [Link(a, (b, *draw.sample(range(b, boxes), min(2, boxes - b))), LABEL) for a, b in (*pairs, *backwards)]


@pytest.mark.parametrize("seed", range(12))
def test_no_text_lies_under_another_or_under_a_line(seed: int) -> None:
    boxes = 2 + seed
    layout = lay_out([BOX] * boxes, random_links(seed, boxes))
    rects = (*layout.boxes, *layout.labels)
    assert not any(overlaps(one, other) for one, other in itertools.combinations(rects, 2))
    assert not any(crosses(layout, rect) for rect in rects)
    assert all(rect.x >= -0.01 and rect.x + rect.width <= layout.width + 0.01 for rect in rects)
    assert all(rect.y + rect.height <= layout.height + 0.01 for rect in rects)


def test_data_flows_down() -> None:
    layout = lay_out([BOX] * 4, DIAMOND)
    tops = [box.y for box in layout.boxes]
    assert tops[0] < tops[1] == tops[2] < tops[3]
    assert all(tops[0] < label.y < tops[3] for label in layout.labels)


def test_a_chain_is_straight() -> None:
    layout = lay_out([BOX] * 3, [Link(0, (1,), LABEL), Link(1, (2,), LABEL)])
    centers = [rect.center for rect in (*layout.boxes, *layout.labels)]
    assert max(centers) - min(centers) < 0.5


def test_lines_that_need_not_cross_do_not() -> None:
    links = [Link(0, (4,), LABEL), Link(1, (3,), LABEL), Link(2, (5,), LABEL)]
    layout = lay_out([BOX] * 6, links)
    sources = sorted(range(3), key=lambda box: layout.boxes[box].x)
    targets = sorted(range(3, 6), key=lambda box: layout.boxes[box].x)
    assert [links[source].targets[0] for source in sources] == targets


def test_every_line_ends_in_an_arrow_at_its_target() -> None:
    layout = lay_out([BOX] * 4, DIAMOND)
    arrows = [line.link for line in layout.lines if line.is_arrow_at_end]
    assert sorted(arrows) == [0, 0, 1, 2, 3]
    back = lay_out([BOX] * 2, [Link(0, (1,), LABEL), Link(1, (0,), LABEL)])
    assert [(line.link, line.is_arrow_at_start) for line in back.lines if line.is_arrow_at_start] == [(1, True)]


def test_a_box_that_feeds_itself_and_nothing_at_all_are_laid_out() -> None:
    assert len(lay_out([BOX], [Link(0, (0,), LABEL)]).lines) == 1
    assert lay_out([], []) == Layout((), (), (), 0.0, 0.0)


def test_the_same_layout_comes_out_each_time() -> None:
    assert lay_out([BOX] * 9, random_links(3, 9)) == lay_out([BOX] * 9, random_links(3, 9))
