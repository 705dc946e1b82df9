"""Named lists, each a CSV file of the shop's: the first column counts, and `products.csv` names SKUs."""

from __future__ import annotations

import csv
import io

from engine.language.problem import Mark, Problems

TITLES = frozenset({"email", "e-mail", "sku", "customer", "number", "value", "name", "country", "id", "code"})
"""Words that, alone at the top of the first column, are its title and not a member."""


def read_list(text: str, problems: Problems) -> frozenset[str]:
    """The members of a list: the first column's values, without outer spaces, case ignored."""
    members = set()
    for line, row in _rows(text, problems):
        value = row[0].strip().casefold() if row else ""
        if not value or value.startswith("#") or (line == 1 and value in TITLES):
            continue
        members.add(value)
    if not members:
        problems.warning(Mark(1, 1), "this list is empty: nothing can be in it")
    return frozenset(members)


def read_products(text: str, problems: Problems) -> dict[str, str]:
    """Product names by SKU, from a file of two columns: sku, name."""
    names: dict[str, str] = {}
    for line, row in _rows(text, problems):
        if len(row) < 2 or (line == 1 and row[0].strip().casefold() == "sku"):
            continue
        names[row[0].strip()] = row[1].strip()
    return names


def _rows(text: str, problems: Problems) -> list[tuple[int, list[str]]]:
    text = text.removeprefix("\ufeff")
    delimiter = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[tuple[int, list[str]]] = []
    try:
        rows.extend((reader.line_num, row) for row in reader)
    except csv.Error:
        problems.error(Mark(reader.line_num + 1, 1), "this line cannot be read as a row of a table")
    return rows
