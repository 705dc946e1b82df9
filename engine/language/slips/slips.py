"""Slips in what a line says: signs that mean something else to YAML, comments that eat text, quotes that end early."""

from __future__ import annotations

import re

from engine.language.conditions.phrases import comparison_called
from engine.language.problem import Mark
from engine.language.slips.lines import Brackets, Line, indent_of, quote_end, read_value
from engine.language.slips.page import CONDITIONS, OF_ITEMS, Page, Slip
from engine.language.words import normal_key, quoted, without_curly_quotes

_SIGNS = "*&!@%`,]}|>"
_COMPARISON = re.compile(r"(?P<sign>>=|>)[ \t]*(?P<than>.*)")
_WORDS = {">": "more than", ">=": "at least"}
_MARKER = re.compile(r"(?:---|\.\.\.)(?=[ \t]|$)")
_DEEPEST_LIST = 40
_SETTING = re.compile(r"\s*(?:- +)*[\w.$][\w.$ -]*:(?=\s|$)")
_BAD_ESCAPE = re.compile(r'\\(?![0abtnvfre "/\\N_LP\t]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|$)')


# whole lines


def marks_an_end(line: Line, page: Page) -> bool:
    """Whether a line is a `---` before all settings or a `...` behind them, which do no harm."""
    text = line.raw.split("#")[0].rstrip()
    return (text == "---" and page.above is None) or (text == "..." and page.next(line) is None)


def second_document(line: Line, page: Page) -> Slip | None:
    """`---` or `...` with more behind it, and instructions to YAML."""
    at = line.number - 1
    if line.raw.startswith("%") and page.above is None:
        message = 'a line that begins with "%" instructs YAML, which rule files have no use for. Leave it out'
        return Slip(Mark(line.number, 1), message, "", {at: ""})
    if not _MARKER.match(line.raw):
        return None
    message = "a second document begins here, and a file holds only one. Put it into a file of its own"
    rest = dict.fromkeys(range(at, len(page.rows)), "")
    if page.above is None:
        message = f'"{line.raw[:3]}" is not needed. Begin with the first setting on a line of its own'
        rest = {at: line.raw[3:].strip()}
    return Slip(Mark(line.number, 1), message, "", rest)


def explicit_key(line: Line, page: Page) -> Slip | None:
    """`? name`, which makes what follows a key."""
    if not (line.raw.startswith("? ", line.start) or line.raw[line.start :] == "?"):
        return None
    mended = line.raw[: line.start] + line.raw[line.start + 1 :].lstrip()
    return _whole(line, '"?" at the start of a line has a special meaning in YAML. Leave it out', mended)


def no_key(line: Line, page: Page) -> Slip | None:
    """A line without a name before its colon, or with `<<` for one."""
    if line.key not in ("", "<<"):
        return None
    message = "a name is missing before the colon"
    if line.key:
        message = (
            '"<<" would copy the lines of another block in here, which rule files do not do. Write them out'
        )
    return Slip(Mark(line.number, line.start + 1), message, "", page.without(line))


def key_sign(line: Line, page: Page) -> Slip | None:
    """A key that YAML takes for something else."""
    key = line.key or ""
    behind = line.raw[line.start + len(key) :]
    if key.startswith("{{"):
        path = key.strip("{} \t").split("|")[0].strip()
        message = "a field is named here without the {{ }} that messages have"
        return _whole(line, message, f"{line.raw[: line.start]}{path}{behind}")
    if key[:1] and key[0] in f"{_SIGNS}[{{":
        message = f'"{key[0]}" at the start of a line has a special meaning in YAML. Put the name in quotes'
        return _whole(line, message, f"{line.raw[: line.start]}{quoted(key)}{behind}")
    return None


def _whole(line: Line, message: str, mended: str) -> Slip:
    return Slip(Mark(line.number, line.start + 1), message, mended.strip(), {line.number - 1: mended})


# values


def comment_for_value(line: Line, page: Page) -> Slip | None:
    """`channel: #ops`, which is an empty value with a comment."""
    value = line.value
    if value.kind != "none" or not _glued(value.comment) or page.opened_by(line):
        return None
    if normal_key(line.key or "") in (*CONDITIONS, "then", "tests"):
        return None
    word = line.whole.lstrip("#")
    no_sign = normal_key(line.key or "") == "channel" or word[:1] in ("'", '"')
    mended = word if no_sign else quoted(line.whole)
    name = f"the {line.key} is" if line.key and line.key.isalpha() else "this value is"
    remedy = "the # is not needed" if mended == word else "put the text in quotes"
    message = f"{name} empty: # starts a comment. Write `{line.lead}{mended}` ({remedy})"
    return _mended(line, value.comment_column, message, mended)


def braces(line: Line, page: Page) -> Slip | None:
    """A value that starts with `{{` or `{%` and has no quotes."""
    start = line.value.text[:2]
    if start not in ("{{", "{%"):
        return None
    return _quote(line, page, line.value.column, f"a value that starts with {start} needs quotes")


def comparison(line: Line, page: Page) -> Slip | None:
    """`> 200` and `>= 200` without quotes."""
    found = _COMPARISON.match(line.value.text)
    block = line.value.kind == "block"
    if found is None or (block and (page.opened_by(line) or not found["than"].isdigit())):
        return None
    if not page.in_conditions(line):
        return _for_text(line, page, ">") if block else None
    right = f"{_WORDS[found['sign']]} {found['than']}".rstrip()
    other = "" if found["sign"] == ">=" else f" or `at least {found['than']}`"
    reason = "YAML takes > for the start of a longer text"
    message = f'write `{right}`{other} (or quote it: `"{found[0]}"`): {reason}'
    return _mended(line, line.value.column, message, right)


def negation(line: Line, page: Page) -> Slip | None:
    """`!= complete` without quotes."""
    text = line.value.text
    if not text.startswith("!") or text.startswith("!!") or not page.in_conditions(line):
        return None
    right = f"is not {text.lstrip('!= ')}"
    message = f'write `{right}` (or quote it: `"{text}"`): YAML takes ! for something else'
    return _mended(line, line.value.column, message, right)


def named_block(line: Line, page: Page) -> Slip | None:
    """An anchor, an alias or a type that was meant as such."""
    text = line.value.text
    if re.fullmatch(r"&[\w-]+", text) and page.opened_by(line):
        message = f'"{text}" gives this block a name, to be repeated elsewhere; rule files do not do that. Leave it out'
        return _mended(line, line.value.column, message, "")
    if text.startswith("*") and text[1:] in page.names:
        message = f'"{text}" would repeat what stands elsewhere; rule files do not do that. Write it out here'
        return Slip(Mark(line.number, line.value.column + 1), message, "", page.without(line))
    if text.startswith("!!"):
        message = f'"{text.split()[0]}" gives this value a type, which rule files do not do. Leave it out'
        return _mended(line, line.value.column, message, text.partition(" ")[2].strip())
    return None


def sign(line: Line, page: Page) -> Slip | None:
    """A value that starts with a sign which means something to YAML."""
    text = line.value.text
    if line.value.kind != "plain" or not (text[0] in _SIGNS or re.match(r"[-?](?=[ \t]|$)", text)):
        return None
    return _for_text(line, page, text[0])


def _for_text(line: Line, page: Page, sign: str) -> Slip:
    message = f'"{sign}" at the start of a value has a special meaning in YAML. Quote the value'
    if sign in "|>":
        message += f", or put the text on the next line, below `{line.lead}{sign}`"
    return _quote(line, page, line.value.column, message)


def colon_inside(line: Line, page: Page) -> Slip | None:
    """A text with `: ` in it and no quotes."""
    value = line.value
    found = re.search(r":(?=[ \t]|$)", value.text) if value.kind == "plain" else None
    if found is None:
        return None
    condition = _colon_of_condition(line, page, found.start()) if page.in_conditions(line) else None
    if condition is not None:
        return condition
    what = 'contains ": "' if found.end() < len(value.text) else 'ends with ":"'
    below = page.opened_by(line)
    if line.key is not None and below is not None and below.key is not None and _one_setting(value.text):
        message = f'"{value.text[: found.start()]}" needs a line of its own, indented below "{line.key}"'
        hint = f"{line.lead.rstrip()}\n{' ' * (below.indent - line.indent)}{value.text}"
        return _mended(line, value.column, message, "", hint=hint)
    message = (
        f"this text {what}, which YAML takes for a new setting. Quote it, or put the text on the next line"
    )
    return _quote(line, page, value.column + found.start(), f"{message} after `{line.lead}|`")


def _colon_of_condition(line: Line, page: Page, colon: int) -> Slip | None:
    """`order.total: at least: 200`, and `any of order.line_items: quantity: more than 5`."""
    value = line.value
    word, rest = value.text[:colon].strip(), value.text[colon + 1 :].strip()
    if comparison_called(word) and rest:
        message = f"no colon stands after `{word}`"
        return _mended(line, value.column + colon, message, f"{word} {rest}")
    if (
        normal_key(line.key or "").startswith(OF_ITEMS)
        and _one_setting(value.text)
        and not set("{}[]") & set(rest)
    ):
        message = "the fields of an item stand in braces"
        return _mended(line, value.column, message, f"{{{value.text}}}")
    return None


def _one_setting(text: str) -> bool:
    return re.match(r"[A-Za-z][\w.-]*:[ \t]", text) is not None


def eaten(line: Line, page: Page) -> Slip | None:
    """`order #123 shipped`, of which YAML keeps only `order`."""
    value = line.value
    if value.kind == "plain" and _glued(value.comment):
        return _quote(line, page, value.comment_column, _eaten(value.comment))
    for below in page.tail(line) if value.kind == "plain" else ():
        if _glued(below.value.comment):
            return _eaten_below(line, below, page)
    return None


def _eaten(comment: str) -> str:
    return (
        f'everything from "{_excerpt(comment)}" on would be dropped, because YAML reads # as a comment. '
        "Put the text in quotes (a comment has a space after its #)"
    )


def _eaten_below(line: Line, below: Line, page: Page) -> Slip:
    lines = [line, *page.tail(line)]
    texts = [lines[0].whole, *(one.raw.strip() for one in lines[1:])]
    hint = "\n".join([f"{line.lead}|", *(f"  {text}" for text in texts)])
    rows = {below.number - 1: below.raw.replace(" #", " ", 1)}
    message = _eaten(below.value.comment).replace(
        "Put the text in quotes", f"Put the text below `{line.lead}|`"
    )
    return Slip(Mark(below.number, below.value.comment_column + 1), message, hint, rows)


def bad_escape(line: Line, page: Page) -> Slip | None:
    r"""`"\d"`: in double quotes a backslash needs a letter that YAML knows."""
    value = line.value
    found = _BAD_ESCAPE.search(value.text) if value.text.startswith('"') else None
    pairs = re.finditer(r"\\.?", value.text) if found else ()
    bad = next((pair for pair in pairs if _BAD_ESCAPE.match(value.text, pair.start())), None)
    if bad is None:
        return None
    message = (
        f"YAML does not know {bad[0]} in double quotes. Put the text in single quotes, or write \\{bad[0]}"
    )
    if value.closed and "'" not in value.text and all(_BAD_ESCAPE.match(one) for one in _escapes(value.text)):
        return _mended(line, value.column + bad.start(), message, quoted(value.text[1:-1]))
    text = "".join(_doubled(piece) for piece in re.findall(r"\\.?|[^\\]+", value.text))
    return _mended(
        line, value.column + bad.start(), message, text + line.raw[value.column + len(value.text) :]
    )


def _escapes(text: str) -> list[str]:
    return re.findall(r"\\.?", text)


def _doubled(piece: str) -> str:
    return f"\\{piece}" if _BAD_ESCAPE.match(piece) else piece


def quote_ends_early(line: Line, page: Page) -> Slip | None:
    """A text whose closing quote comes before its end, or never."""
    value = line.value
    if value.kind != "quoted":
        return None
    if not value.closed:
        return _unclosed(line, page)
    if not value.rest:
        return None
    quote = value.text[0]
    whole = line.whole
    column = value.rest_column
    if value.rest.startswith(","):
        message = "several values need brackets around them, with a comma between"
        return _mended(line, value.column, message, f"[{whole}]")
    if quote == "'" and value.text[-2:-1].isalnum() and value.rest[0].isalnum() and whole.endswith("'"):
        message = "the apostrophe ends the text here. Double it (''), or put the text in double quotes"
        return _mended(line, column - 1, message, quoted(whole[1:-1].replace("''", "'")))
    message = f'the text ends at its second {quote}, and "{_excerpt(value.rest)}" stands behind it'
    if whole.endswith(quote) and len(whole) > len(value.text):
        other = "single" if quote == '"' else "double"
        return _mended(line, column, f"{message}. Put the whole text in {other} quotes", quoted(whole[1:-1]))
    return _mended(line, column, f"{message}. Put the quotes around the whole text", quoted(whole))


def _unclosed(line: Line, page: Page) -> Slip | None:
    value, quote = line.value, line.value.text[0]
    inside = True
    for row in range(line.number, len(page.rows)):
        raw = page.rows[row]
        end = quote_end(raw, 0, quote)
        inside = inside and (not raw.strip() or indent_of(raw) > page.block_of(line))
        if _MARKER.match(raw) or (not inside and _SETTING.match(raw)):
            break
        if end is not None and (inside or not raw[end:].strip()):
            return _behind(line, page, row, end)
    message = f"the {quote} that begins this text is never closed"
    return _quote(line, page, value.column, message, text=value.text[1:])


def list_ends_early(line: Line, page: Page) -> Slip | None:
    """A `[ ]` or `{ }` list that is not closed, closed wrongly, or followed by more."""
    value = line.value
    if value.kind != "list":
        return None
    brackets = Brackets()
    end = brackets.feed(line.raw, value.column)
    row = line.number - 1
    last = line.raw
    while end is None and not _wrong(brackets) and _goes_on(page, row + 1, line, last):
        row += 1
        last = page.rows[row]
        end = brackets.feed(last)
    if brackets.braces is not None:
        return _braces_inside(line, page, row, brackets.braces)
    if brackets.wrong is not None:
        return _wrong_bracket(line, page, row, brackets.wrong)
    if end is None:
        return _never_closed(line, page, brackets)
    return _behind(line, page, row, end)


def _wrong(brackets: Brackets) -> bool:
    return brackets.wrong is not None or brackets.braces is not None or len(brackets.closers) > _DEEPEST_LIST


def _goes_on(page: Page, row: int, line: Line, last: str) -> bool:
    """Whether a list that is not closed yet may go on in a row: not where a setting begins, but for after a comma."""
    if row >= len(page.rows) or _MARKER.match(page.rows[row]):
        return False
    further = indent_of(page.rows[row]) > page.block_of(line)
    return further or not _SETTING.match(page.rows[row]) or last.rstrip()[-1:] in (",", "[", "{", "")


def _braces_inside(line: Line, page: Page, row: int, column: int) -> Slip:
    raw = page.rows[row]
    end = raw.find("}}", column)
    stop = end + 2 if end >= 0 else len(raw)
    mended = f"{raw[:column]}{quoted(raw[column:stop])}{raw[stop:]}"
    mark = Mark(row + 1, column + 1)
    return Slip(mark, "a value that starts with {{ needs quotes", mended.strip(), {row: mended})


def _wrong_bracket(line: Line, page: Page, row: int, column: int) -> Slip:
    raw = page.rows[row]
    right = "}" if raw[column] == "]" else "]"
    mended = raw[:column] + right + raw[column + 1 :]
    message = f'"{raw[column]}" closes a list that began with "{"{" if right == "}" else "["}"'
    return Slip(Mark(row + 1, column + 1), message, mended.strip(), {row: mended})


def _never_closed(line: Line, page: Page, brackets: Brackets) -> Slip:
    value = line.value
    bracket = value.text[0]
    message = f'"{bracket}" begins a list here that is never closed'
    if value.text[1:2] == "#" or re.search(r"[\s,]#\S", value.text):
        message += ": # starts a comment. Put the text after it in quotes"
        return _quote(line, page, value.column, message, hint="")
    if bracket == "[" and "," not in value.text:
        return _quote(line, page, value.column, f"{message}. Close it, or quote the value")
    closed = value.text + ("" if brackets.quote else "".join(reversed(brackets.closers)))
    if brackets.quote or read_value(closed, 0).rest or not read_value(closed, 0).closed:
        return _quote(line, page, value.column, message)
    return _mended(line, value.column, message, closed)


def _behind(line: Line, page: Page, row: int, end: int) -> Slip | None:
    """What stands behind a closing quote or bracket."""
    rest = page.rows[row][end:].strip()
    if not rest or rest.startswith("#"):
        return None
    column = page.rows[row].index(rest, end)
    mark = Mark(row + 1, column + 1)
    first = line.value.text[0]
    if row > line.number - 1:
        message = f'"{_excerpt(rest)}" stands behind the end of the value that begins on line {line.number}'
        return Slip(mark, message, "", {row: page.rows[row][:end]})
    if first in "[{":
        message = f'"{first}" at the start of a value begins a list, and "{_excerpt(rest)}" stands behind its end. Quote the value'
        return _quote(line, page, line.value.column, message)
    return None


def _glued(comment: str) -> bool:
    """Whether what YAML takes for a comment was rather text: `#123`, and not `# note`."""
    return len(comment) > 1 and comment[1] not in " \t#!-=*"


def _excerpt(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _quote(
    line: Line, page: Page, column: int, message: str, *, text: str | None = None, hint: str | None = None
) -> Slip:
    """A slip that quotes mend: the value and the lines that carry it on become one quoted text."""
    whole = line.whole if text is None else text
    inner = without_curly_quotes(whole)
    value = quoted(whole if inner is None else inner)
    slip = _mended(line, column, message, value, hint=hint)
    blanks = {below.number - 1: "" for below in page.tail(line)}
    return Slip(slip.mark, slip.message, slip.hint, {**blanks, **slip.rows})


def _mended(line: Line, column: int, message: str, value: str, *, hint: str | None = None) -> Slip:
    """A slip that another value mends."""
    comment = line.raw[line.value.column + len(line.whole) :].strip()
    corrected = f"{line.lead}{value}".rstrip() + (f"  {comment}" if comment else "")
    rows = {line.number - 1: f"{line.raw[: line.value.column]}{value}"}
    return Slip(Mark(line.number, column + 1), message, corrected if hint is None else hint, rows)
