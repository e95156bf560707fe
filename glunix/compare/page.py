"""The matrix for machines and browsers: a JSON document, and an HTML page by itself."""

from __future__ import annotations

import json
import platform
from html import escape

from glunix.compare.latency import CALLS, Latency
from glunix.compare.matrix import Cell, Matrix, Verdict
from glunix.compare.ways import REGISTRY


def expectation(cell: Cell) -> str:
    """Why a cell may differ, in words: the paper's section, or that it is to be mended."""
    if cell.listed is None:
        return ""
    if cell.listed.section:
        return f"paper section {cell.listed.section}: {cell.listed.why}"
    return f"{cell.listed.kind.value}: {cell.listed.why}"


def as_json(matrix: Matrix) -> str:
    """The matrix as one JSON document; latencies in nanoseconds."""
    return json.dumps(
        {
            "machine": {"kernel": platform.release(), "processor": platform.machine()},
            "guests": [
                {
                    "name": guest.name,
                    "area": guest.area.value,
                    "behaviour": guest.behaviour,
                    "source": guest.source,
                }
                for guest in matrix.guests
            ],
            "ways": [{"name": name, "title": REGISTRY[name].title} for name in matrix.ways],
            "cells": [_cell(cell) for cell in matrix.cells.values()],
            "latencies": {name: _latency(found) for name, found in matrix.latencies.items()},
            "unexpected": len(matrix.unexpected),
        },
        indent=2,
    )


def _cell(cell: Cell) -> dict[str, object]:
    found: dict[str, object] = {
        "guest": cell.guest,
        "way": cell.way,
        "verdict": cell.verdict.value,
        "unexpected": cell.unexpected,
        "tries": cell.tries,
    }
    if cell.line:
        found["line"] = cell.line
    if cell.listed is not None:
        found["listed"] = {
            "why": cell.listed.why,
            "kind": cell.listed.kind.value,
            "section": cell.listed.section,
        }
    return found


def _latency(found: Latency) -> dict[str, object]:
    return {"absent": found.reason} if found.reason else {**found.nanoseconds}


_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 }
th, td { border-bottom: 1px solid #ddd; padding: .15em .6em; text-align: left }
thead th { position: sticky; top: 0; background: #fff }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.same { color: #567 } .listed { background: #fff3cd } .unexpected { background: #f8d0d0 }
.cannot { color: #999 } .area th { background: #f3f5f7 } small { color: #567 }
td details { max-width: 32em } code { overflow-wrap: anywhere }
.wide { overflow-x: auto }
@media (max-width: 50em) {
  body { margin: 1em auto; padding: 0 .5em; font-size: 14px }
  h1 { font-size: 1.3em } .wide { max-height: 90vh; overflow: auto }
  .wide th:first-child { position: sticky; left: 0; background: #fff; max-width: 9em;
    overflow-wrap: anywhere }
  th, td { padding: .15em .35em } td details { max-width: 80vw }
}
"""


def as_html(matrix: Matrix) -> str:
    """The matrix as a page: a row a guest, grouped by area; a differing cell opens to say how."""
    heads = "".join(f"<th>{escape(REGISTRY[name].title)}</th>" for name in matrix.ways)
    machine = escape(f"Linux {platform.release()}, {platform.machine()}")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>GLUnix compared with native Linux</title><style>{_STYLE}</style>"
        "<h1>GLUnix compared with native Linux</h1>"
        f"<p>{len(matrix.guests)} programs that check themselves, run natively and each way on "
        f"{machine}. <span class=listed>Expected</span> differences open to say why; "
        f"<span class=unexpected>unexpected</span> ones: {len(matrix.unexpected)}.</p>"
        f"<h2>What a call costs</h2>{_latency_table(matrix)}"
        "<h2>What programs see</h2><div class=wide><table><thead>"
        f"<tr><th>program</th>{heads}</tr></thead>"
        f"<tbody>{_totals(matrix)}{''.join(_rows(matrix))}</tbody></table></div></html>\n"
    )


def _latency_table(matrix: Matrix) -> str:
    heads = "".join(f"<th>{call}</th>" for call in CALLS)
    rows = []
    for name, found in matrix.latencies.items():
        if found.reason:
            cells = f"<td colspan={len(CALLS)} class=cannot>{escape(found.reason)}</td>"
        else:
            cells = "".join(
                f"<td class=n>{found.nanoseconds[call] / 1000:.2f} µs</td>" for call in CALLS
            )
        rows.append(f"<tr><th>{escape(REGISTRY[name].title)}</th>{cells}</tr>")
    table = f"<table><thead><tr><th></th>{heads}</tr></thead>{''.join(rows)}</table>"
    return f"<div class=wide>{table}</div>"


def _totals(matrix: Matrix) -> str:
    cells = []
    for name in matrix.ways:
        counts = ((matrix.count(name, verdict), verdict.value) for verdict in Verdict)
        text = "<br>".join(f"{count} {word}" for count, word in counts if count)
        cells.append(f"<td>{text}</td>")
    return f"<tr><th>all</th>{''.join(cells)}</tr>"


def _rows(matrix: Matrix) -> list[str]:
    rows, area, across = [], "", len(matrix.ways) + 1
    for guest in sorted(matrix.guests, key=lambda guest: (guest.area.value, guest.name)):
        if guest.area.value != area:
            area = guest.area.value
            rows.append(f"<tr class=area><th colspan={across}>{escape(area)}</th></tr>")
        cells = "".join(_html_cell(matrix.cells[guest.name, way]) for way in matrix.ways)
        told = f"{escape(guest.behaviour)} ({escape(guest.source)})"
        rows.append(f"<tr><td>{escape(guest.name)}<br><small>{told}</small></td>{cells}</tr>")
    return rows


def _html_cell(cell: Cell) -> str:
    if cell.verdict is Verdict.SAME:
        again = f" at the second try<br><code>{escape(cell.line)}</code>" if cell.tries > 1 else ""
        return f"<td class=same>same{again}</td>"
    if cell.verdict is Verdict.CANNOT:
        return f"<td class=cannot>cannot<br><small>{escape(cell.line)}</small></td>"
    kind = "unexpected" if cell.unexpected else "listed"
    section = cell.listed.section if cell.listed is not None else ""
    title = f"differs (section {escape(section)})" if section else "differs"
    why = escape(expectation(cell))
    return (
        f"<td class={kind}><details><summary>{title}</summary>{why}"
        f"<br><code>{escape(cell.line)}</code></details></td>"
    )
