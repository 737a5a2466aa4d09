"""Runs every fault on every level and prints what came of it: matrix.py [--level L] [--row R]

Each cell has a process of its own, since some faults end it. `--save` keeps the outcomes; with
`--show` nothing runs, and what was saved with several CPythons is printed as one table. Exit code 1
if a cell is not as specified.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from faults.rows import ENDS_HOST, LEVELS, ROWS, Row

CELLS = Path(__file__).with_name("cells.py")
LIMIT = 60.0
AT_ONCE = 2

type Saved = dict[str, Any]
"""version: of CPython; cells: row name -> level -> outcome."""


def run_cell(row: Row, level: str) -> str:
    """What came of the fault, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(CELLS.parent.parent)}
    command = [sys.executable, str(CELLS), level, row.name]
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"WRONG: hung for {LIMIT:.0f} s"
    if row.ends is not None and row.expected(level) == ENDS_HOST:
        ended = done.returncode == row.ends
        return ENDS_HOST if ended else f"WRONG: exit code {done.returncode}"
    try:
        outcome = str(json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return f"WRONG: exit code {done.returncode}, {last}"
    if done.returncode != 0:
        return f"WRONG: {outcome}, then exit code {done.returncode}"
    return outcome


def run_all(rows: list[Row], levels: list[str]) -> Saved:
    """Runs the cells, two at once, and prints each as it ends."""
    cells = [(row, level) for row in rows for level in levels]
    saved: Saved = {"version": sys.version.split()[0], "cells": {row.name: {} for row in rows}}
    print(f"CPython {saved['version']}: {len(rows)} faults on {', '.join(levels)}")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = pool.map(lambda cell: run_cell(*cell), cells)
        for (row, level), outcome in zip(cells, outcomes, strict=True):
            saved["cells"][row.name][level] = outcome
            if level == levels[0]:
                print(f"\n{row.what}")
            right = "ok " if outcome == row.expected(level) else "NOT"
            print(f"  {level:8} {right} {outcome}", flush=True)
    return saved


def wrong_cells(saved: Saved) -> list[str]:
    """The cells that are not as specified."""
    return [
        f"{saved['version']} {level}: {row.what}: {saved['cells'][row.name][level]}"
        for row in ROWS
        for level in saved["cells"].get(row.name, {})
        if saved["cells"][row.name][level] != row.expected(level)
    ]


def mark(saved: Saved, row: Row, level: str) -> str:
    outcome = saved["cells"].get(row.name, {}).get(level)
    return "." if outcome is None else "o" if outcome == row.expected(level) else "X"


def show(results: list[Saved]) -> None:
    """One table: a line a fault, a column a CPython with a mark for each level."""
    width = max(len(row.what) for row in ROWS)
    print(f"o as specified, X not, . not run; levels in the order {', '.join(LEVELS)}\n")
    print(" " * width, *(f"{saved['version']:>8}" for saved in results))
    for row in ROWS:
        marks = ("".join(mark(saved, row, level) for level in LEVELS) for saved in results)
        print(f"{row.what:{width}}", *(f"{text:>8}" for text in marks))


def main() -> int:
    parser = argparse.ArgumentParser(description="The matrix of faults and isolation levels.")
    parser.add_argument("--level", action="append", choices=LEVELS, help="one level, repeatable")
    parser.add_argument("--row", action="append", help="one fault by its name, repeatable")
    parser.add_argument("--save", type=Path, help="file for the outcomes, JSON")
    parser.add_argument("--show", type=Path, nargs="+", help="saved files, as one table")
    chosen = parser.parse_args()
    if chosen.show:
        results = [json.loads(path.read_text(encoding="utf-8")) for path in chosen.show]
        show(results)
    else:
        rows = [row for row in ROWS if not chosen.row or row.name in chosen.row]
        results = [run_all(rows, chosen.level or list(LEVELS))]
    if chosen.save:
        chosen.save.write_text(json.dumps(results[0]), encoding="utf-8")
    wrong = [line for saved in results for line in wrong_cells(saved)]
    count = sum(len(levels) for saved in results for levels in saved["cells"].values())
    print(f"\n{count - len(wrong)} of {count} cells as specified", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
