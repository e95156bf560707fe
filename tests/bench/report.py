"""How sections are shown: a table for people, JSON for machines. Decides nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from .harness import Absent, Breakdown, Judged, Outcome, Row, Section, Unit


def figure(outcome: Outcome, unit: Unit) -> str:
    """`best / median unit`, or `-` for what has no figures."""
    if isinstance(outcome, Absent):
        return "-"
    best, median = outcome.best * unit.scale, outcome.median * unit.scale
    digits = 0 if median >= 100 else 1 if median >= 10 else 2
    return f"{best:.{digits}f} / {median:.{digits}f} {unit.label}"


def ratio_text(row: Row) -> str:
    """`0.61x (0.58-0.66)`, or empty."""
    ratio = row.ratio
    return "" if ratio is None else f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})"


def verdict(row: Row) -> str:
    """One word on the target."""
    if row.target.judged is Judged.NOTHING:
        return ""
    return {True: "met", False: "MISSED", None: "not judged"}[row.met]


def why(row: Row) -> str:
    """What a reader must know about the row: missing or failed contenders, then its note."""
    parts = []
    if isinstance(row.ours, Absent):
        parts.append(f"ours: {row.ours.reason}")
    if isinstance(row.peer, Absent):
        parts.append(f"peer: {row.peer.reason}")
    if row.note:
        parts.append(row.note)
    return "; ".join(parts)


def _rows_table(section: Section) -> Table:
    table = Table(title=section.title, title_justify="left", title_style="bold", box=SIMPLE)
    table.add_column("measured (best / median)", ratio=1)
    for heading in ("ours", "peer", "ratio (quartiles)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("target", "verdict"):
        table.add_column(heading, no_wrap=True)
    for row in section.rows:
        style = {True: "green", False: "red", None: "yellow"}[row.met]
        table.add_row(
            escape(row.name),
            figure(row.ours, row.unit),
            figure(row.peer, row.unit),
            ratio_text(row),
            row.target.describe(row.unit),
            f"[{style}]{verdict(row)}[/]",
        )
    return table


def _breakdown_table(breakdown: Breakdown) -> Table:
    table = Table(title=breakdown.title, title_justify="left", box=SIMPLE)
    table.add_column("step", min_width=len(breakdown.title) - 20)
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    total = sum(seconds for _, seconds in breakdown.steps)
    for name, seconds in breakdown.steps:
        share = f"{100 * seconds / total:.0f} %" if total else ""
        table.add_row(escape(name), f"{seconds * 1e3:.2f}", share)
    table.add_row("[bold]total[/]", f"{total * 1e3:.2f}", "")
    return table


def show(sections: Sequence[Section], console: Console) -> None:
    """Print every section, with what is missing under its table."""
    for section in sections:
        parts: list[RenderableType] = [_rows_table(section)]
        parts += [escape(f"  {row.name}: {why(row)}") for row in section.rows if why(row)]
        parts += [escape(f"  {note}") for note in section.notes]
        parts += [f"  [red]did not end well:[/] {escape(text)}" for text in section.complaints]
        parts += [_breakdown_table(breakdown) for breakdown in section.breakdowns]
        console.print(Group(*parts), "")
    missed = [row.name for s in sections for row in s.rows if row.fails_check]
    if missed:
        console.print(f"targets not met: {', '.join(missed)}")


def _outcome_data(outcome: Outcome, unit: Unit) -> dict[str, Any]:
    if isinstance(outcome, Absent):
        return {"absent": outcome.reason}
    return {
        "best": outcome.best * unit.scale,
        "median": outcome.median * unit.scale,
        "samples": [value * unit.scale for value in outcome.values],
    }


def _row_data(row: Row) -> dict[str, Any]:
    ratio = row.ratio
    return {
        "name": row.name,
        "unit": row.unit.label,
        "ours": _outcome_data(row.ours, row.unit),
        "peer": _outcome_data(row.peer, row.unit),
        "ratio": None
        if ratio is None
        else {
            "median": ratio.median,
            "low": ratio.low,
            "high": ratio.high,
            "of_bests": ratio.of_bests,
        },
        "target": row.target.describe(row.unit) or None,
        "met": row.met,
        "note": why(row) or None,
    }


def as_json(sections: Sequence[Section]) -> str:
    """The sections as one JSON document; figures in each row's unit, breakdowns in seconds."""
    return json.dumps(
        [
            {
                "title": section.title,
                "rows": [_row_data(row) for row in section.rows],
                "breakdowns": [
                    {"title": b.title, "seconds": dict(b.steps)} for b in section.breakdowns
                ],
                "notes": list(section.notes),
                "complaints": list(section.complaints),
            }
            for section in sections
        ],
        indent=2,
    )
