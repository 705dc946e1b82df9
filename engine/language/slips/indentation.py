"""Slips in how lines stand under one another: tabs, wrong indentation, missing colons and dashes."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Final

from engine.language.problem import Mark
from engine.language.slips.lines import Line, indent_of
from engine.language.slips.page import CONDITIONS, OF_ITEMS, Level, Page, Slip
from engine.language.words import OTHER_WORDS, RULE_SETTINGS, listing, normal_key, plural

_GLUED = re.compile(r"(?P<key>[A-Za-z$][^:\s\[]*(?: [^:\s\[]+)*?):(?P<blank>[^\S \t]*)(?P<value>[^\s/].*|$)")
_NO_COLON = "a setting is written `name: value`, and this line has no colon"
_ONE_WORD = re.compile(r"[A-Za-z$][\w.$-]*")


def odd_indentation(line: Line, page: Page) -> Slip | None:
    """A tab, or a blank that only looks like a space, where a line begins."""
    rest = line.raw.lstrip()
    begins = line.raw[: len(line.raw) - len(rest)]
    odd = next((place for place, letter in enumerate(begins) if letter != " "), None)
    if odd is None:
        return None
    mended = " " * _meant(line, begins, page) + rest
    mark = Mark(line.number, odd + 1)
    rows = _same_beginning(line, begins, page, mended)
    if begins[odd] == "\t":
        more = len(rows) - 1
        also = (
            f", and so {'is the line' if more == 1 else 'are ' + plural(more, 'line')} below" if more else ""
        )
        return Slip(mark, f"this line is indented with a tab{also}; YAML allows only spaces", mended, rows)
    message = (
        f"this line begins with a blank that is no plain space ({_code(begins[odd])}), as web pages have them"
    )
    return Slip(mark, f"{message}. Type spaces instead", mended, rows)


def tab_after_dash(line: Line, page: Page) -> Slip | None:
    """A tab between a dash and what follows it."""
    dashes = line.raw[line.indent : line.start]
    if not line.dashes or "\t" not in dashes or line.key is None:
        return None
    mended = line.raw[: line.indent] + "- " * len(line.dashes) + line.raw[line.start :]
    mark = Mark(line.number, line.indent + dashes.index("\t") + 1)
    message = "a tab stands after the dash; YAML allows only spaces there"
    return Slip(mark, message, mended.strip(), {line.number - 1: mended})


def missing_blank(line: Line, page: Page) -> Slip | None:
    """`name:Big order`, or a blank after the colon or dash that only looks like a space."""
    if page.in_data(line):
        return None
    if re.match(r"-[A-Za-z\u00a0]", line.raw[line.indent :]) and not line.dashes:
        return _dash_without_blank(line, page)
    text = line.value.text if line.key is None else line.key
    found = _GLUED.match(text)
    if found is None or not (line.key is None or _known(found)):
        return None
    if line.key is None and not (_key_wanted(line, page) or (found["blank"] and _known(found))):
        return None
    column = line.start + found.end("key") + 1
    value = line.raw[column + len(found["blank"]) :]
    mended = f"{line.raw[:column]} {value}"
    if found["blank"]:
        code = _code(found["blank"])
        message = f'the blank after "{found["key"]}:" is no plain space ({code}), as web pages have them. Type a space'
    else:
        message = f'a space is missing after "{found["key"]}:"'
    return Slip(Mark(line.number, column + 1), message, mended.strip(), {line.number - 1: mended})


def missing_colon(line: Line, page: Page) -> Slip | None:
    """A line that is only a text where a setting is wanted."""
    if line.key is not None or line.value.kind == "none" or not _key_wanted(line, page):
        return None
    word = _setting_at_start(line.value.text)
    if word is not None:
        return _colon_after(word, line)
    outside = _value_below(line, page) or _text_outside(line, page)
    if outside is not None:
        return outside
    if line.value.kind == "plain" and _ONE_WORD.fullmatch(line.value.text):
        return _colon_after(line.value.text, line)
    path = line.value.text.split(" ")[0]
    if line.value.kind == "plain" and ("." in path[1:-1] or path.startswith("$")):
        return _colon_after(path, line)
    return Slip(Mark(line.number, line.start + 1), _NO_COLON, "", page.without(line))


def outside_text(line: Line, page: Page) -> Slip | None:
    """A line between the indentation of a block text and that of its setting."""
    above = page.above
    if above is None or above.value.kind != "block" or line.indent <= page.block_of(above):
        return None
    column = page.text_column(above)
    message = (
        f"this line begins with {_spaces(line.indent)}, "
        f"but the text that it belongs to with {_spaces(column)} (from line {above.number + 1} on)"
    )
    rows = _bare_rows(line, page, column)
    return Slip(Mark(line.number, line.indent + 1), message, rows[line.number - 1], rows)


def nothing_under(line: Line, page: Page) -> Slip | None:
    """What belongs under an action, or under conditions, stands beside it."""
    above = page.above
    if above is None or above.key is None or not above.opens or line.dashes or line.indent > above.start:
        return None
    if above.dashes:
        if not (line.indent > above.dashes[-1] or _of_no_rule(line)) or not _holds_a_block(above, page):
            return None
    elif line.indent != above.start or not _belongs_under(line, above):
        return None
    mark = Mark(above.number, above.start + 1)
    column = above.start + 2
    message = f'"{above.key}" has nothing under it. {_indent_to(column, line, page)}'
    hint = f"{above.raw.strip()}\n{' ' * (column - above.indent)}{line.raw.strip()}"
    rows = _body(line, column, page) if above.dashes else _conditions(line, above, page)
    return Slip(mark, message, hint, rows)


def first_line(line: Line, page: Page) -> Slip | None:
    """A first line that is indented although a line below is less."""
    if page.levels or not line.indent or all(below.indent >= line.indent for below in page.following(line)):
        return None
    rows = page.shifted(line, 0)
    message = f"this line begins with {_spaces(line.indent)}, but the settings below do not"
    return Slip(Mark(line.number, line.indent + 1), message, rows[line.number - 1], rows)


def does_not_fit(line: Line, page: Page) -> Slip | None:
    """A line that begins in a column where nothing can begin, or with a dash where none belongs."""
    above = page.above
    if not page.levels or above is None:
        return None
    kept = page.kept(line)
    top = kept[-1] if kept else None
    if top is not None and top.column == line.indent:
        return _wrong_kind(line, top, page)
    if top is None or len(kept) < len(page.levels):
        return _between(line, page)
    return None if above.opens else _too_deep(line, above, top, page)


def _meant(line: Line, begins: str, page: Page) -> int:
    """The column that a line was meant to begin in: below what waits for a block, else the nearest level."""
    above = page.above
    if above is None:
        return 0
    if above.value.kind == "block":
        return page.text_column(above)
    if above.opens:
        return (above.start if above.key is not None else above.indent) + 2
    width = len(begins.expandtabs(4))
    return min((level.column for level in page.levels), key=lambda column: (abs(column - width), -column))


def _same_beginning(line: Line, begins: str, page: Page, mended: str) -> dict[int, str]:
    """This row and those right below that begin alike, all moved to where this one was meant to be."""
    column = len(mended) - len(mended.lstrip(" "))
    rows = {}
    for row in range(line.number - 1, len(page.rows)):
        raw = page.rows[row]
        if not raw.startswith(begins):
            break
        further = raw[len(begins) :]
        deeper = further[: len(further) - len(further.lstrip())].expandtabs(2)
        rows[row] = " " * (column + len(deeper)) + further.lstrip()
    return rows


def _code(letter: str) -> str:
    return f"U+{ord(letter[0]):04X}"


def _dash_without_blank(line: Line, page: Page) -> Slip | None:
    owner = page.above.key if page.above and page.above.opens else None
    in_list = any(level.is_list and level.column == line.indent for level in page.levels)
    if not in_list and normal_key(owner or "") not in ("then", "tests", "all", "any", "not", "or else"):
        return None
    mended = f"{' ' * line.indent}- {line.raw[line.indent + 1 :].lstrip()}"
    message = "a space is missing after the dash"
    return Slip(Mark(line.number, line.indent + 2), message, mended.strip(), {line.number - 1: mended})


def _known(found: re.Match[str]) -> bool:
    return normal_key(found["key"]) in RULE_SETTINGS or _ONE_WORD.fullmatch(found["key"]) is not None


def _key_wanted(line: Line, page: Page) -> bool:
    """Whether a line without a key stands where only a setting makes sense."""
    ends_here = line.value.closed and line.value.kind != "block"
    below = page.next(line) if ends_here else None
    if line.dashes:
        deeper = below is not None and below.indent > line.dashes[-1]
        return deeper and below is not None and below.key is not None and not below.dashes
    kept = page.kept(line)
    if not kept:
        return not page.levels and below is not None and below.key is not None
    top = kept[-1]
    if top.column == line.indent:
        return not top.is_list
    above = page.above
    if above is None or not above.opens or len(kept) < len(page.levels):
        return False
    settings_below = below is not None and below.indent > top.column and below.key is not None
    return settings_below or (line.value.kind == "plain" and normal_key(above.key or "") in CONDITIONS)


def _setting_at_start(text: str) -> str | None:
    words = text.split(" ")
    starts = (" ".join(words[:count]) for count in (3, 2, 1))
    return next((start for start in starts if normal_key(start) in RULE_SETTINGS), None)


def _colon_after(word: str, line: Line) -> Slip:
    value = line.value.text[len(word) :].strip()
    mended = f"{line.raw[: line.start]}{word}: {value}".rstrip()
    mark = Mark(line.number, line.start + len(word) + 1)
    return Slip(mark, f'a colon is missing after "{word}"', mended.strip(), {line.number - 1: mended})


def _value_below(line: Line, page: Page) -> Slip | None:
    """A value that stands below its key and as far left as that."""
    above = page.above
    if line.dashes or above is None or above.key is None or not above.opens or above.start != line.indent:
        return None
    message = f'"{above.key}" has nothing beside it. Its value belongs on the same line, or indented below it'
    mark = Mark(line.number, line.indent + 1)
    return Slip(mark, message, f"{above.lead}{line.raw.strip()}", {line.number - 1: f"  {line.raw}"})


def _text_outside(line: Line, page: Page) -> Slip | None:
    """A line of a longer text that is not indented as such a text must be."""
    above = page.above
    if above is None or above.value.kind not in ("plain", "quoted", "block"):
        return None
    mark = Mark(line.number, line.start + 1)
    belongs = f'{_NO_COLON}. If it belongs to the text of "{_named(above)}"'
    if above.value.kind != "block":
        hint = (
            f"{above.lead}|\n  {above.value.text}\n  {line.raw.strip()}"
            if above.value.kind == "plain"
            else ""
        )
        return Slip(mark, f"{belongs}, put both below `{above.lead}|`, indented", hint, page.without(line))
    rows = _bare_rows(line, page, page.text_column(above))
    message = f"{belongs}, indent it like that"
    if page.next(above) == line:
        message = f"the text that begins after `{above.lead}{above.value.text}` has to be indented below it"
    return Slip(mark, message, rows[line.number - 1], rows)


def _bare_rows(line: Line, page: Page, column: int) -> dict[int, str]:
    """This line and the lines of text below it, moved to a column; a `name: value` between two of text is text, too."""
    rows: dict[int, str] = {}
    last = line.number - 1
    for row in range(last, len(page.rows)):
        below = page.line(row)
        outside = below.indent < line.indent or (below.dashes and below.indent == line.indent)
        if row > line.number - 1 and below.raw and outside:
            break
        if below.bare and (below.indent == line.indent or last == row - 1):
            last = row
        rows[row] = " " * (column + below.indent - line.indent) + below.raw.lstrip(" ") if below.raw else ""
    return {row: text for row, text in rows.items() if row <= last}


def _holds_a_block(above: Line, page: Page) -> bool:
    owners = page.owners(above)
    word = normal_key(above.key or "")
    return (owners[-1:] == ["then"]) or word in CONDITIONS or word.startswith(OF_ITEMS)


_NUMBERS: Final = ("no", "one", "two", "three", "four", "five", "six")


def _indent_to(column: int, line: Line, page: Page) -> str:
    """How to move the lines from this one on to a column; by how much only where all move alike."""
    below = page.next(line)
    further = below is not None and below.key is not None and below.indent > line.indent and not line.opens
    by = column - line.indent
    if further or by >= len(_NUMBERS):
        return f"Let the lines below begin with {_spaces(column)}"
    return f"Indent the lines below by {_NUMBERS[by]} more {'space' if by == 1 else 'spaces'}"


def _of_no_rule(line: Line) -> bool:
    """Whether a line is a setting, but none of those that a rule has."""
    word = normal_key(line.key or "")
    return bool(word) and word not in RULE_SETTINGS and word not in OTHER_WORDS


def _body(line: Line, column: int, page: Page) -> dict[int, str]:
    """The lines of a body from this one on, moved to a column, up to the next item or the next setting of the rule."""
    rows: dict[int, str] = {}
    for row in range(line.number - 1, len(page.rows)):
        below = page.line(row)
        beside = below.indent == line.indent
        if below.raw and (below.indent < line.indent or (beside and (below.dashes or not _goes_on(below)))):
            break
        if below.raw:
            rows[row] = " " * (column + below.indent - line.indent) + below.raw.lstrip(" ")
    return rows


def _goes_on(line: Line) -> bool:
    return line.key is None or _of_no_rule(line)


def _belongs_under(line: Line, above: Line) -> bool:
    """Whether a line beside a key without a value is one of the conditions that were to stand below it."""
    word, owner = normal_key(line.key or ""), normal_key(above.key or "")
    if owner.startswith(OF_ITEMS):
        return "." not in word and word not in CONDITIONS and not word.startswith(OF_ITEMS)
    return owner in CONDITIONS and ("." in word or word.startswith(("$", *OF_ITEMS)))


def _conditions(line: Line, above: Line, page: Page) -> dict[int, str]:
    """The conditions from this line on, moved below the line above, up to the next setting."""
    rows: dict[int, str] = {}
    below: Line | None = line
    while below is not None and (
        below.indent > line.indent or (below.indent == line.indent and _belongs_under(below, above))
    ):
        rows[below.number - 1] = f"  {below.raw}"
        below = page.next(below)
    return rows


def _named(line: Line) -> str:
    return line.key if line.key is not None else line.raw.strip()[:40]


def _spaces(count: int) -> str:
    return plural(count, "space") if count else "no space"


def _too_deep(line: Line, above: Line, top: Level, page: Page) -> Slip:
    mark = Mark(line.number, line.indent + 1)
    if line.dashes:
        return _list_below_value(line, above, page)
    if line.bare:
        message = f'this line belongs to nothing: the value of "{_named(above)}" ended on line {above.number}'
        return Slip(mark, message, "", page.without(line))
    named = f'"{_named(top.last)}" on line {top.last.number}'
    return _moved(
        line, top.column, page, f"the lines of its block begin with {top.column or 'none'} (see {named})"
    )


def _list_below_value(line: Line, above: Line, page: Page) -> Slip:
    items = _rows_as_deep(line, page)
    texts = [page.rows[row].strip() for row in items]
    named = f'"{_named(above)}" on line {above.number} has its value beside it already'
    if normal_key(above.key or "") in ("then", "tests", "when", *CONDITIONS):
        message, texts = f"{named}, so no list can stand below", [above.lead.rstrip(), *texts]
    else:
        message = f"{named}, and this would be joined to it. Put the whole text below `{above.lead}|`"
        texts = [f"{above.lead}|", above.value.text, *texts]
    hint = "\n".join([texts[0], *(f"  {text}" for text in texts[1:])])
    return Slip(Mark(line.number, line.indent + 1), message, hint, dict.fromkeys(items, ""))


def _rows_as_deep(line: Line, page: Page) -> list[int]:
    """The rows from this line on that are indented at least as far."""
    rows = range(line.number - 1, len(page.rows))
    return list(
        takewhile(lambda row: page.rows[row].strip() and indent_of(page.rows[row]) >= line.indent, rows)
    )


def _between(line: Line, page: Page) -> Slip:
    levels = [level for level in page.levels if level.is_list == bool(line.dashes)] or page.levels
    near = min(levels, key=lambda level: (abs(level.column - line.indent), -level.column))
    others = sorted({level.column: level for level in levels}.items(), reverse=True)[:3]
    named = listing(
        f'"{_named(level.last)}" (line {level.last.number}) with {column}' for column, level in others
    )
    return _moved(line, near.column, page, f"nothing that it could stand beside does: {named}")


def _moved(line: Line, column: int, page: Page, others: str) -> Slip:
    rows = page.shifted(line, column)
    message = f"this line begins with {_spaces(line.indent)}, but {others}"
    told = not page.was_moved(line)
    return Slip(Mark(line.number, line.indent + 1), message, rows[line.number - 1], rows, told)


def _wrong_kind(line: Line, top: Level, page: Page) -> Slip | None:
    if top.is_list == bool(line.dashes):
        return None
    above = page.above
    waits = above is not None and above.opens and above.key is not None and above.start == line.indent
    if waits and line.dashes:
        return None
    mark = Mark(line.number, line.indent + 1)
    where = f'(see "{_named(top.last)}" on line {top.last.number})'
    if top.is_list:
        mended = f"{' ' * line.indent}- {line.raw.strip()}"
        rows = page.shifted(line, line.indent + 2) | {line.number - 1: mended}
        return Slip(mark, f"the lines of this list begin with a dash {where}", mended.strip(), rows)
    message = f"this line begins with a dash, and the lines of its block do not {where}"
    if line.key is None:
        return Slip(mark, message, "", page.without(line))
    mended = line.raw[: line.indent] + line.raw[line.start :]
    return Slip(mark, message, mended.strip(), {line.number - 1: mended})
