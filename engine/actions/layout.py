"""How a mail looks: its content in the middle of a page that fits a phone, a desktop, and the dark of either.

What goes in is HTML in which values are escaped already, or plain text; what comes out is a whole HTML document whose
styles stand at each element, since many mail programs read no others. Pure, and fails on nothing.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import css_inline
import re2

ACCENT = "#1f6f54"
"""The colour of links and of the line at the top, where the connection names none."""

PREVIEW = 110
"""So many letters do mail programs show of a mail in their list."""

_DOCUMENT = re2.compile(r"(?is)^\s*(?:<!--.*?-->\s*)*<(?:!doctype|html)\b")
_STYLE = re2.compile(r"(?i)<style\b")
_TAG = re2.compile(r"(<[A-Za-z][A-Za-z0-9-]*)((?:\s+[^\s=\"'>]+(?:=\"[^\"]*\")?)*)\s*>")
_PLACE = re2.compile(r"\$(LANGUAGE|STYLES|HEAD|FOOT)\b")
_SUBJECT, _PREVIEW_HERE, _CONTENT = "\ufdd1", "\ufdd2", "\ufdd3"
"""Where in the page a mail's own parts go: code points that no text holds."""
_ITEM = re2.compile(r"[-*•]\s+(.*)")
_ADDRESS = re2.compile(r"https?://[^\s<>\"']+")
_NOT_ITS_END = ".,;:!?…)]}'\""

_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)


@dataclass(frozen=True, slots=True)
class Look:
    """What a shop's mails have in common: its name, language, colour, logo, last lines, and how to get no more."""

    shop: str
    language: str = "en"
    accent: str = ACCENT
    logo: str = ""
    footer: str = ""
    unsubscribe: str = ""


def is_document(page: str) -> bool:
    """Whether HTML is a whole page, to which its author gave a look of its own."""
    return bool(_DOCUMENT.search(page))


def inlined(page: str) -> str:
    """HTML with the rules of its `<style>` at each element; those for dark and for small screens stay in it.

    Nothing is loaded from anywhere. HTML that has no style stays as it is, and so does what cannot be read.
    """
    if not _STYLE.search(page):
        return page
    try:
        return str(_TAG.sub(_quietly, _INLINER.inline(page)))
    except (css_inline.InlineError, ValueError):  # its author's own styles then stay where they are
        return page


def _quietly(tag: Any) -> str:
    """A tag whose attributes hold no `<` or `>`: they may stand there, but not every mail program reads that right."""
    head, rest = tag[1], tag[2]
    return f"{head}{rest.replace('<', '&lt;').replace('>', '&gt;')}>"


def laid_out(content: str, subject: str, preview: str, look: Look) -> str:
    """A whole page with this content; `preview` is what a mail program shows of it in its list."""
    shown, name = html.escape(" ".join(preview.split())[:PREVIEW]), html.escape(subject)
    if _STYLE.search(content):  # its author's rules may reach the page around it, too
        start, title, middle, end = _pieces(_page(look))
        return inlined("".join([start, name, title, shown, middle, content, end]))
    start, title, middle, end = _frame(look)
    return "".join([start, name, title, shown, middle, _styled(content, look.accent), end])


def _pieces(page: str) -> tuple[str, str, str, str]:
    """What of a page stands before, between and behind its three places."""
    start, _, rest = page.partition(_SUBJECT)
    title, _, rest = rest.partition(_PREVIEW_HERE)
    middle, _, end = rest.partition(_CONTENT)
    return start, title, middle, end


@lru_cache(maxsize=64)
def _frame(look: Look) -> tuple[str, str, str, str]:
    """The page around the three places, styled once for many mails."""
    return _pieces(inlined(_page(look)))


@lru_cache(maxsize=64)
def _page(look: Look) -> str:
    """The page of a look, with its styles in its head."""
    parts = {
        "LANGUAGE": html.escape(look.language),
        "STYLES": _coloured(_FRAME + _INSIDE + _ELSEWHERE, look.accent),
        "HEAD": _head(look),
        "FOOT": _foot(look),
    }
    return str(_PLACE.sub(lambda place: parts[place[1]], _PAGE))


def _coloured(styles: str, accent: str) -> str:
    return styles.replace("INK", _ink(accent)).replace("BRIGHT", _bright(accent)).replace("ACCENT", accent)


@lru_cache(maxsize=64)
def _inside(accent: str) -> str:
    return _coloured(_INSIDE, accent)


def _styled(content: str, accent: str) -> str:
    """The content with the page's styles at each element."""
    try:
        return str(_TAG.sub(_quietly, _INLINER.inline_fragment(content, _inside(accent))))
    except (css_inline.InlineError, ValueError):  # then it is plain, and readable all the same
        return content


def _parts(color: str) -> tuple[int, int, int]:
    """Red, green and blue of `#rrggbb`, each up to 255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _lightness(color: str) -> float:
    """How light a colour is to the eye, from 0 to 1 (relative luminance)."""
    red, green, blue = ((part / 255) ** 2.2 for part in _parts(color))
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)


def _ink(color: str) -> str:
    """The colour of letters that can be read on a colour."""
    return "#ffffff" if _lightness(color) < 0.36 else "#1f2421"


def _bright(color: str) -> str:
    """The colour made as light as letters on a dark ground must be."""
    red, green, blue = _parts(color)
    for share in range(0, 101, 10):
        mixed = (round(part + (255 - part) * share / 100) for part in (red, green, blue))
        found = "#" + "".join(f"{part:02x}" for part in mixed)
        if _lightness(found) > 0.4:
            return found
    return "#ffffff"


def _head(look: Look) -> str:
    name = html.escape(look.shop)
    if look.logo:
        return f'<img class="logo" src="{html.escape(look.logo)}" alt="{name}" height="40">'
    return f'<span class="shop">{name}</span>'


def _foot(look: Look) -> str:
    lines = [html.escape(line) for line in look.footer.splitlines() if line.strip()]
    if look.unsubscribe:
        lines.append(f'<a class="quiet" href="{html.escape(look.unsubscribe)}">Unsubscribe</a>')
    return f'<p class="foot">{"<br>".join(lines)}</p>' if lines else ""


def last_lines(look: Look) -> str:
    """The footer as the text part of a mail has it, empty where there is none."""
    lines = [line.strip() for line in look.footer.splitlines() if line.strip()]
    if look.unsubscribe:
        lines.append(f"Unsubscribe: {look.unsubscribe.removeprefix('mailto:')}")
    return "\n".join(["-- ", *lines]) + "\n" if lines else ""


# plain text as HTML


def paragraphs(text: str) -> str:
    """Plain text as HTML that says the same: paragraphs, lists of lines with dashes, addresses as links."""
    return "\n".join(_blocks([line.strip() for line in text.strip().splitlines()]))


def _blocks(lines: Sequence[str]) -> Iterator[str]:
    for kind, some in groupby(lines, _kind):
        if kind == "item":
            items = (match[1] for line in some if (match := _ITEM.fullmatch(line)))
            yield "<ul>" + "".join(f'<li dir="auto">{_with_links(item)}</li>' for item in items) + "</ul>"
        elif kind == "text":
            yield f'<p dir="auto">{"<br>".join(map(_with_links, some))}</p>'


def _kind(line: str) -> str:
    if not line:
        return "blank"
    return "item" if _ITEM.fullmatch(line) else "text"


def _with_links(text: str) -> str:
    pieces: list[str] = []
    place = 0
    for match in _ADDRESS.finditer(text):
        address = _whole(match[0])
        pieces.append(html.escape(text[place : match.start()]))
        pieces.append(f'<a href="{html.escape(address)}">{html.escape(address)}</a>')
        place = match.start() + len(address)
    return "".join([*pieces, html.escape(text[place:])])


def _whole(address: str) -> str:
    """An address without the signs of the sentence around it; a bracket that it opens itself is its own."""
    while address and address[-1] in _NOT_ITS_END:
        if address[-1] == ")" and address.count("(") >= address.count(")"):
            break
        address = address[:-1]
    return address


# the page

_PAGE = """<!doctype html>
<html lang="$LANGUAGE">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>\ufdd1</title>
<style>$STYLES</style>
</head>
<body>
<div class="preview">\ufdd2</div>
<table class="page" role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">
<tr><td class="around" align="center">
<table class="card" role="presentation" width="600" cellpadding="0" cellspacing="0" border="0">
<tr><td class="head">$HEAD</td></tr>
<tr><td class="content">
\ufdd3
</td></tr>
</table>
$FOOT
</td></tr>
</table>
</body>
</html>
"""

_FRAME = """
:root { color-scheme: light dark; supported-color-schemes: light dark; }
body { margin: 0; padding: 0; background: #f3f4f2; -webkit-text-size-adjust: 100%; }
.page { background: #f3f4f2; }
.around { padding: 32px 16px; }
.card { width: 100%; max-width: 600px; background: #ffffff; border-top: 4px solid ACCENT; border-radius: 8px; }
.head { padding: 24px 32px 0; }
.head, .content, .foot { font-family: -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, Helvetica, Arial, sans-serif;
  text-align: start; }
.content { padding: 16px 32px 24px; font-size: 16px; line-height: 1.55; color: #1f2421; overflow-wrap: anywhere;
  word-break: break-word; }
.shop { font-size: 18px; font-weight: 600; color: #1f2421; }
.logo { display: block; height: 40px; max-width: 100%; border: 0; }
.foot { max-width: 536px; margin: 20px 0 0; font-size: 13px; line-height: 1.5; text-align: center; color: #66706a; }
.quiet { color: #66706a; }
.preview { display: none; max-height: 0; overflow: hidden; font-size: 1px; line-height: 1px; color: transparent; }
"""
"""Styles of the page around the content."""

_INSIDE = """
p { margin: 0 0 16px; }
ul, ol { margin: 0 0 16px; padding: 0; padding-inline-start: 24px; }
li { margin: 0 0 6px; }
h1 { margin: 0 0 16px; font-size: 24px; line-height: 1.25; }
h2 { margin: 24px 0 12px; font-size: 19px; line-height: 1.3; }
h3 { margin: 20px 0 8px; font-size: 16px; }
img { max-width: 100%; }
a { color: ACCENT; }
a.button { display: inline-block; padding: 12px 22px; border-radius: 6px; background: ACCENT; color: INK;
  font-weight: 600; text-decoration: none; }
hr { margin: 24px 0; border: 0; border-top: 1px solid #dfe3e0; }
table.lines { width: 100%; border-collapse: collapse; margin: 0 0 16px; }
table.lines th, table.lines td { padding: 8px 12px 8px 0; border-bottom: 1px solid #dfe3e0; text-align: start;
  vertical-align: top; }
"""
"""Styles of what an author may write into it."""

_ELSEWHERE = """
@media (prefers-color-scheme: dark) {
  body, .page { background: #121413 !important; }
  .card { background: #1d211f !important; }
  .content, .shop { color: #e8ebe9 !important; }
  .content a { color: BRIGHT !important; }
  .content a.button { color: INK !important; }
  hr, table.lines th, table.lines td { border-color: #343a37 !important; }
  .foot, .quiet { color: #9aa49e !important; }
}
@media (max-width: 480px) {
  .around { padding: 0 0 24px !important; }
  .card { border-radius: 0 !important; }
  .head { padding: 20px 20px 0 !important; }
  .content { padding: 12px 20px 20px !important; }
  .foot { padding: 0 20px !important; }
}
"""
"""Styles for the dark and for small screens; they stay in the page's head."""
