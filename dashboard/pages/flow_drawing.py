"""Draws a definition's steps from left to right: where each icon stands, and the lines between them.

One path of a fork stands above another; where a path ends with `stop`, no line leaves it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dashboard.pages import playbook_fields
from dashboard.pages.editor_labels import describe_trigger_type
from dashboard.pages.editor_tree import TreeNode, build_steps
from rules.actions import PLAYBOOK_ACTIONS

#: Pixels from one icon to the next, the side of an icon's tile, and the margin of the drawing.
COLUMN, ROW, TILE, MARGIN = 36, 30, 22, 6
_TRIGGER_ICONS = {
    "instagram": "channel_instagram", "facebook": "channel_facebook", "contact": "contact", "schedule": "queued",
    "hook": "link", "page": "page", "manual": "play",
}  # fmt: skip
_STOP = "skipped"


@dataclass(frozen=True)
class Tile:
    """One icon, by its centre."""

    x: float
    y: float
    icon: str
    stage: str
    label: str


@dataclass(frozen=True)
class Flow:
    """A drawing, in pixels; a line is a path of SVG."""

    width: float
    height: float
    tiles: tuple[Tile, ...]
    lines: tuple[str, ...]


@dataclass
class _Drawing:
    tiles: list[Tile] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def place(self, column: float, row: float, tile: tuple[str, str, str], ends: Sequence[Tile]) -> Tile:
        """Add an icon, and lines from the ends that lead to it."""
        icon, stage, label = tile
        placed = Tile(MARGIN + TILE / 2 + column * COLUMN, MARGIN + TILE / 2 + row * ROW, icon, stage, label)
        self.tiles.append(placed)
        self.lines += [_draw_line(end, placed) for end in ends]
        return placed


def draw(definition: Mapping[str, Any]) -> Flow:
    """The drawing of a definition: its trigger and then its steps."""
    trigger, steps = definition.get("trigger"), definition.get("steps")
    nodes = build_steps(steps, (), ())
    type_ = str(trigger.get("type", "")) if isinstance(trigger, Mapping) else ""
    columns, rows = _measure(nodes)
    drawing = _Drawing()
    icon = _TRIGGER_ICONS.get(type_.partition(".")[0], "bell")
    start = drawing.place(0, (rows - 1) / 2, (icon, "checking", describe_trigger_type(type_)), ())
    actions = _list_playbook_icons(steps)
    if actions:
        ends: Sequence[Tile] = [start]
        for column, tile in enumerate(actions, start=1):
            ends = [drawing.place(column, 0, tile, ends)]
        columns = len(actions)
    else:
        _place_all(drawing, nodes, 1, (rows - 1) / 2, [start])
    width, height = MARGIN * 2 + TILE + columns * COLUMN, MARGIN * 2 + TILE + (rows - 1) * ROW
    return Flow(width, height, tuple(drawing.tiles), tuple(drawing.lines))


def _list_playbook_icons(steps: object) -> list[tuple[str, str, str]]:
    """The icons of a playbook's steps; empty for a workflow."""
    actions = [step.get("action") for step in steps if isinstance(step, Mapping)] if isinstance(steps, list) else []
    if not actions or any(action not in PLAYBOOK_ACTIONS for action in actions):
        return []
    return [
        (playbook_fields.find_icon(action), "ready_to_send", playbook_fields.format_action(action))
        for action in map(str, actions)
    ]


def _measure(nodes: Sequence[TreeNode]) -> tuple[int, int]:
    """The columns and rows of a list of steps."""
    sizes = [_measure_node(node) for node in nodes]
    return sum(columns for columns, _ in sizes), max((rows for _, rows in sizes), default=1)


def _measure_node(node: TreeNode) -> tuple[int, int]:
    sizes = [_measure(arm.nodes) for arm in node.arms]
    return 1 + max((columns for columns, _ in sizes), default=0), max(1, sum(rows for _, rows in sizes))


def _place_all(
    drawing: _Drawing, nodes: Sequence[TreeNode], column: float, row: float, ends: Sequence[Tile]
) -> list[Tile]:
    """Place a list of steps around its row; return the tiles from which what follows goes on."""
    reached = list(ends)
    for node in nodes:
        tile = drawing.place(column, row, (node.icon, node.stage, node.title), reached)
        reached = _place_arms(drawing, node, column + 1, row, tile) if node.arms else [tile]
        if node.icon == _STOP:
            reached = []
        column += _measure_node(node)[0]
    return reached


def _place_arms(drawing: _Drawing, node: TreeNode, column: float, row: float, tile: Tile) -> list[Tile]:
    sizes = [_measure(arm.nodes)[1] for arm in node.arms]
    top, ends = row - sum(sizes) / 2, []
    for arm, rows in zip(node.arms, sizes, strict=True):
        ends += _place_all(drawing, arm.nodes, column, top + (rows - 1) / 2 + 0.5, [tile])
        top += rows
    # Two paths without a step are one line.
    return list(dict.fromkeys(ends))


def _draw_line(start: Tile, end: Tile) -> str:
    left, right = start.x + TILE / 2, end.x - TILE / 2
    if start.y == end.y:
        return f"M{left:g} {start.y:g}H{right:g}"
    bend = left + (COLUMN - TILE)
    middle = (left + bend) / 2
    return f"M{left:g} {start.y:g}C{middle:g} {start.y:g} {middle:g} {end.y:g} {bend:g} {end.y:g}H{right:g}"


def describe(flow: Flow) -> str:
    """The drawing in words, for those who cannot see it."""
    return ", then ".join(dict.fromkeys(tile.label for tile in flow.tiles))
