"""Named lists, each a CSV file of the shop's: the first column counts, and `products.csv` names SKUs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final

from engine.language.problem import Mark, Problems
from engine.language.words import normal_key

TITLES: Final = frozenset(
    ("email", "e mail", "mail", "email address", "sku", "skus", "customer", "customers", "number", "value", "values",
     "name", "country", "state", "id", "code", "zip", "zipcode", "phone", "channel")
)  # fmt: skip
"""Words that, at the top of the first column, are its title and not a member."""

_SEPARATORS: Final = (",", ";", "\t")

Row = tuple[int, Sequence[str]]
"""The number of a line and its cells."""


def read_list(text: str, problems: Problems) -> frozenset[str]:
    """The members of a list: the first column's values, without outer spaces, case ignored.

    Empty lines and those that begin with # are passed over, and so is a title in the first line.
    """
    rows = [(line, row[0].strip()) for line, row in _rows(text, problems)]
    rows = [(line, value) for line, value in rows if value and not value.startswith("#")]
    if rows and _is_title(rows[0][1], [value for _, value in rows[1:]]):
        del rows[0]
    if not rows:
        problems.warning(Mark(1, 1), "this list is empty: nothing can be in it")
    return frozenset(value.casefold() for _, value in rows)


def _is_title(first: str, others: Sequence[str]) -> bool:
    """Whether the first line names the column: a usual title, or no address above addresses."""
    if normal_key(first) in TITLES:
        return True
    return "@" not in first and bool(others) and all("@" in value for value in others)


def read_products(text: str, problems: Problems) -> dict[str, str]:
    """Product names by SKU, from a file of two columns: sku, name. Lines without a name are told."""
    names: dict[str, str] = {}
    for line, row in _rows(text, problems):
        sku, name = (*(cell.strip() for cell in row[:2]), "")[:2]
        if not sku or sku.startswith("#") or normal_key(sku) == "sku":
            continue
        if name:
            names[sku] = name
        else:
            problems.warning(Mark(line, 1), f'the product "{sku}" has no name beside it', f"{sku},Blue mug")
    return names


def _rows(text: str, problems: Problems) -> Iterator[Row]:
    """The lines of a table that have something in them, cut at the separator that its first line has most of."""
    text = text.removeprefix("\ufeff")
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    line = 1
    try:
        for row in reader:
            if any("\n" in cell for cell in row):
                problems.warning(
                    Mark(line, 1), "a quote that begins on this line is closed only on a later one"
                )
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error:
        problems.error(Mark(line, 1), "this line cannot be read as a row of a table")
