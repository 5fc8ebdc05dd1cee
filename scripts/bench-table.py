"""Puts figures (lines of JSON among other output) into the table of a page, between its two markers.

A figure measured before and not this time keeps its row. Usage: bench-table.py FIGURES PAGE
"""

import datetime
import json
import sys
from pathlib import Path

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def digits(value):
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def spread(values, unit=""):
    text = f"{digits(values['median'])}{unit and ' ' + unit}"
    if values["min"] == values["max"]:
        return text
    return f"{text} <sub>{digits(values['min'])} to {digits(values['max'])}</sub>"


def row(figure):
    name = figure["figure"] + (f"<br><sub>{figure['note']}</sub>" if figure["note"] else "")
    reference = figure["reference"]
    beside = f"{spread(reference['value'], figure['unit'])}<br><sub>{reference['what']}</sub>" if reference else ""
    ratio = spread(figure["ratio"]) if figure["ratio"] else ""
    goal = f"{figure['goal']}: {'met' if figure['met'] else '**missed**'}" if figure["goal"] else ""
    load = figure["machine"]["load"]
    cells = [name, spread(figure["value"], figure["unit"]), beside, ratio, goal, f"{load:.1f}"]
    return "| " + " | ".join(cells) + " |"


def main(figures_path, page_path):
    lines = Path(figures_path).read_text().splitlines()
    figures = [json.loads(line) for line in lines if line.startswith('{"figure"')]
    if not figures:
        sys.exit("no figure was measured: the table stays as it was")
    page = Path(page_path).read_text()
    before, rest = page.split(BEGIN)
    table, after = rest.split(END)
    rows = {}
    for line in table.splitlines():
        if line.startswith("| ") and not line.startswith("| Figure"):
            rows[line.split("|")[1].split("<br>")[0].strip()] = line
    for figure in figures:
        rows[figure["figure"]] = row(figure)
    machine = figures[0]["machine"]
    today = datetime.datetime.now(datetime.timezone.utc).date()
    head = [
        f"Last measured on {today}: {machine['cpu']}, {machine['cores']} cores.",
        "",
        "| Figure | Chartseal | Beside | Ratio | Goal | Load |",
        "|---|---|---|---|---|---|",
    ]
    text = "\n".join([*head, *rows.values()])
    Path(page_path).write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


main(*sys.argv[1:])
