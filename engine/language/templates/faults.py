"""What is wrong with a template that cannot be read, in plain words and with what to write instead."""

from __future__ import annotations

import re
from typing import Final

from jinja2 import TemplateSyntaxError

from engine.language.words import listing, nearest


class TemplateFault(Exception):
    """A template that cannot be read: the place in its text, what is wrong, and what to write instead."""

    def __init__(self, place: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.place = place
        self.message = message
        self.hint = hint


_TAGS: Final = ("if", "elif", "else", "endif", "for", "endfor", "set", "raw", "endraw")
_CLOSED: Final = {"if": "endif", "for": "endfor"}
_SIGNS: Final = {
    "&": "to say that both must hold, write `and`",
    "!": "to say not, write `not`; unequal is `!=`",
    "?": "a choice is written `{{ 'yes' if order.channel else 'no' }}`",
    "$": "a field is written without $",
    "“": "write straight quotation marks: \" or '",
    "”": "write straight quotation marks: \" or '",
    "‘": "write straight quotation marks: \" or '",
    "’": "write straight quotation marks: \" or '",
    "\\": "",
    "'": "a closing ' is missing",
    '"': 'a closing " is missing',
}
_WORDS: Final = {
    "then": "leave it out",
    ";": "leave it out",
    "|": "to say or, write `or`",
    ":": "what a filter needs stands in brackets: | money('EUR')",
    "<": "unequal is `!=`",
    ">": "at least is `>=`",
}
_OTHER_TAGS: Final = {
    "elseif": "elif",
    "elsif": "elif",
    "end": "endif or endfor",
    "foreach": "for",
    "each": "for",
    "unless": "if not",
    "assign": "set",
    "capture": "set",
    "let": "set",
    "case": "if",
    "switch": "if",
}
"""Tags of other template languages, and what to write here."""
_NOTHING: Final = "there is nothing where a value is wanted"
_FAR: Final = 200
"""A path is no longer than this."""
_TAG: Final = re.compile(r"\{%[-+]?\s*(\w+)")
_FROM: Final = re.compile(r"got '(.*)'$", re.DOTALL)


def in_plain_words(error: TemplateSyntaxError, text: str) -> TemplateFault:
    """A fault as Jinja tells it, for a shop's person; its line is the place of a letter."""
    place, message = min(error.lineno, len(text)), error.message or ""
    for sign, explain in _EXPLAIN:
        if sign in message:
            return explain(place, message, text)
    return _near(place, text)


_ANY_ITEM: Final = re.compile(r"(?P<list>[A-Za-z_][\w.]*(?:\[\d+\][\w.]*)*)\[\s*$")
_REST: Final = re.compile(r"\*\s*\](?P<rest>[\w.\[\]*]*)")


def _any_item(place: int, text: str) -> TemplateFault | None:
    """`order.line_items[*].sku`, which names a value of every item."""
    of, rest = _ANY_ITEM.search(text, max(0, place - _FAR), place), _REST.match(text, place)
    if of is None or rest is None:
        return None
    every = f"[*] names every item of {of['list']} at once"
    start = max(text.rfind("{{", 0, place), text.rfind("{%", 0, place))
    if start < 0:
        return TemplateFault(place - 1, f"{every}, and a formula takes one of them: [0] is the first")
    tag = re.match(r"\{%[-+]?\s*for\s+(\w+)\s+in\s", text[start:place])
    if tag:
        message = f"a loop goes over {of['list']} as it is, without [*]"
        return TemplateFault(place - 1, message, f"{{% for {tag[1]} in {of['list']} %}}")
    message = f"{every}, and a text takes one after the other: it needs a loop"
    return TemplateFault(place - 1, message, _loop(of["list"], rest["rest"], "one"))


def _loop(items: str, rest: str, name: str) -> str:
    """A loop that prints what the rest of a path leads to in each item; a list in it gets a loop of its own."""
    field, inner, further = rest.partition("[*]")
    value = f"{name}{field}"
    body = _loop(value, further, f"{name}_more") if inner else f"{{{{ {value} }}}} "
    return f"{{% for {name} in {items} %}}{body}{{% endfor %}}"


def _near(place: int, text: str) -> TemplateFault:
    every = _any_item(place, text)
    if every is not None:
        return every
    word = re.match(r"\w+|\S?", text[place:])
    found = word[0] if word else ""
    what = f'"{found}" is not expected here' if found else "the text ends too early"
    return TemplateFault(place, what, _instead(found, text[:place]))


def _instead(found: str, before: str) -> str:
    """What to write instead of a word or sign that is not expected where it stands."""
    if re.search(r"\{\{\s*\{[^}]*\}*$", before):
        return "a field inside of {{ }} is written without braces of its own"
    tag = re.search(r"\{\{[-+]?\s*(if|for|set|elif)\s+$", before)
    if tag:
        return f"a tag is written {{% {tag[1]} … %}}"
    if found == ">" and before.endswith("-"):
        return "a field is written with a dot: order.number"
    if re.fullmatch(r"[A-Z]{3}", found):
        return f"an amount with its currency needs quotes: '20 {found}'"
    return _WORDS.get(found, "a text needs quotes, and a field dots: order.number")


def _unexpected_letter(place: int, message: str, text: str) -> TemplateFault:
    letter = text[place : place + 1]
    return TemplateFault(place, f"{letter} has no meaning here", _SIGNS.get(letter, ""))


def _unexpected_bracket(place: int, message: str, text: str) -> TemplateFault:
    letter = text[place : place + 1]
    wanted = re.search(r", expected '(.)'", message)
    if wanted:
        return TemplateFault(place, f"a closing {wanted[1]} is missing before this {letter}", "")
    if letter == "}":
        return TemplateFault(place, "a single } does not close `{{`", "write }}")
    return TemplateFault(place, f"there is a {letter} without its partner", "")


def _unknown_tag(place: int, message: str, text: str) -> TemplateFault:
    found = re.search(r"unknown tag '(\w+)'", message)
    name = found[1] if found else ""
    open_tag = re.search(r"needs to be closed is '(\w+)'", message)
    if name in _TAGS:
        return _misplaced(place, name, open_tag[1] if open_tag else "")
    near = [_OTHER_TAGS[name]] if name in _OTHER_TAGS else nearest(name, _TAGS)
    known = f"did you mean `{near[0]}`?" if near else f"there are {listing(_TAGS)}"
    return TemplateFault(place, f'there is no tag "{name}"', known)


def _misplaced(place: int, name: str, open_tag: str) -> TemplateFault:
    end = _CLOSED.get(open_tag)
    if end:
        return TemplateFault(
            place, f"`{{% {name} %}}` comes before `{{% {open_tag} … %}}` was closed", f"{{% {end} %}}"
        )
    begin = next((begin for begin, end in _CLOSED.items() if end == name), "if")
    return TemplateFault(place, f"`{{% {name} %}}` has no `{{% {begin} … %}}` before it")


def _not_closed(place: int, message: str, text: str) -> TemplateFault:
    stack: list[tuple[str, int]] = []
    for tag in _TAG.finditer(text):
        if tag[1] in _CLOSED:
            stack.append((tag[1], tag.start()))
        elif stack and tag[1] == _CLOSED[stack[-1][0]]:
            stack.pop()
    if not stack:
        return TemplateFault(place, "`set` gives a name a value on one line", "{% set total = 0 %}")
    word, start = stack[-1]
    return TemplateFault(start, f"`{{% {word} … %}}` is never closed", f"{{% {_CLOSED[word]} %}}")


def _brace_not_closed(place: int, message: str, text: str) -> TemplateFault:
    start = max(text.rfind("{{", 0, place), text.rfind("{%", 0, place))
    if start < 0:  # a formula
        return TemplateFault(place, _NOTHING)
    end = "%}" if text.startswith("{%", start) else "}}"
    return TemplateFault(start, f"`{text[start : start + 2]}` is never closed", f"write {end} behind it")


def _not_expected(place: int, message: str, text: str) -> TemplateFault:
    got = _FROM.search(message)
    if got is not None and got[1] == "end of template":
        return _brace_not_closed(place, message, text)
    if got is not None and got[1] in ("end of print statement", "end of statement block"):
        return TemplateFault(place, "something is missing before this end", "")
    if re.search(r"\belse\s+$", text[:place]) and text.startswith("if", place):
        return TemplateFault(place, "`else if` is one word here", "elif")
    if text.startswith("=>", place):
        return TemplateFault(place, "=> has no meaning here", "at least is `>=`")
    if text[place : place + 1] == "=" and text[place : place + 2] != "==":
        return TemplateFault(place, "a single = gives a value; to compare, there are two", "==")
    return _near(place, text)


def _nothing_there(place: int, message: str, text: str) -> TemplateFault:
    if message.endswith("'end of template'"):
        return _brace_not_closed(place, message, text)
    return TemplateFault(place, _NOTHING)


def _comment(place: int, message: str, text: str) -> TemplateFault:
    start = max(text.rfind("{#", 0, place + 2), 0)
    return TemplateFault(start, "`{#` begins a comment that is never closed", "write #} behind it")


def _raw(place: int, message: str, text: str) -> TemplateFault:
    return TemplateFault(place, "`{% raw %}` is never closed", "{% endraw %}")


_EXPLAIN: Final = (
    ("unexpected char", _unexpected_letter),
    ("Invalid character", _unexpected_letter),
    ("Missing end of comment", _comment),
    ("Missing end of raw", _raw),
    ("Unexpected end of template", _not_closed),
    ("unknown tag", _unknown_tag),
    ("unexpected end of template", _brace_not_closed),
    ("Expected an expression", _nothing_there),
    ("expected token", _not_expected),
    ("unexpected 'end of", _nothing_there),
    ("unexpected '}'", _unexpected_bracket),
    ("unexpected ')'", _unexpected_bracket),
    ("unexpected ']'", _unexpected_bracket),
)
