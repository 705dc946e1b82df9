"""Reads a template's text into Jinja's syntax tree, every part with its exact place, and its faults in plain words.

Jinja counts lines; here each node's `lineno` is the place of its first letter in the text instead, so that a
fault can be shown at the very letter, and an expression as its author wrote it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.lexer import Lexer, TokenStream
from jinja2.parser import Parser

from engine.language.node import ScalarNode
from engine.language.problem import Mark
from engine.language.words import listing, nearest

DEEPEST: Final = 40
"""The parts of a template stand in one another at most this deep."""

MOST_TOKENS: Final = 8_000
"""So many words and signs are read of a template, and no more."""

_BEGINS: Final = ("variable_begin", "block_begin", "comment_begin")
_ENDS: Final = ("variable_end", "block_end", "comment_end")
_HEAD: Final = re.compile(r"(?:if|elif|set\s+\w+\s*=|for\s+[\w\s,]+?\s+in)\s(.*)", re.DOTALL)


class TemplateFault(Exception):
    """A template that cannot be read: the place in its text, what is wrong, and what to write instead."""

    def __init__(self, place: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.place = place
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Span:
    """One `{{ }}`, `{% %}` or `{# #}`: where it starts and ends, and where what is inside does."""

    kind: str
    start: int
    inside: int
    inside_end: int
    end: int


class Token(NamedTuple):
    """One token of the lexer with its place in the text."""

    place: int
    kind: str
    text: str


class _Lexer(Lexer):
    """Jinja's lexer, which counts letters instead of lines."""

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        place = 0
        try:
            for _, kind, text in super().tokeniter(source, name, filename, state):
                # Blanks before `{%-` are left out of the tokens.
                while not source.startswith(text, place):
                    place += 1
                yield place, kind, text
                place += len(text)
        except TemplateSyntaxError as error:
            error.lineno = place
            raise


class _Environment(Environment):
    @property
    def lexer(self) -> Lexer:
        return _LEXER


_ENVIRONMENT: Final = _Environment(keep_trailing_newline=True)
_LEXER: Final = _Lexer(_ENVIRONMENT)


class _Parser(Parser):
    """Jinja's parser over tokens that are there already."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        super().__init__(_ENVIRONMENT, "")
        self.stream = TokenStream(_LEXER.wrap(tokens), None, None)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the letters of a value's text stand in its file."""

    node: ScalarNode
    breaks: tuple[int, ...]

    @staticmethod
    def of(node: ScalarNode) -> Places:
        """The places of a value's letters."""
        return Places(node, tuple(place for place, letter in enumerate(_text(node)) if letter == "\n"))

    def mark(self, place: int) -> Mark:
        """The line and column of a letter; exact in plain, single-quoted and `|` texts of one line or many."""
        node = self.node
        if node.style != "literal" or node.content is None:
            start = node.content or node.mark
            quote = node.style in ("single", "double")
            return Mark(start.line, start.column + quote + (0 if node.content else place))
        line = bisect_right(self.breaks, place - 1)
        begin = self.breaks[line - 1] + 1 if line else 0
        return Mark(node.content.line + line, node.content.column + place - begin)


@dataclass(frozen=True, slots=True)
class Source:
    """A text that was read: its tree, its braces and their places."""

    text: str
    tree: nodes.Node
    spans: tuple[Span, ...]
    places: Places

    def mark(self, node: nodes.Node) -> Mark:
        """The place of a node in the file."""
        return self.places.mark(self._place(node))

    def _place(self, node: nodes.Node) -> int:
        if (
            node.lineno is None
        ):  # the parser does not say where `autoescape` stands, only where its inside does
            return next((child.lineno for child in node.iter_child_nodes()), 0)
        return node.lineno

    def words(self, node: nodes.Node) -> str:
        """The expression a node belongs to, as its author wrote it."""
        place = self._place(node)
        at = bisect_right(self.spans, place, key=lambda span: span.start) - 1
        if at < 0 or self.spans[at].end <= place:
            return self.text.strip()
        span = self.spans[at]
        text = self.text[span.inside : span.inside_end].strip()
        head = _HEAD.fullmatch(text) if span.kind == "block_begin" else None
        return " ".join((head[1] if head else text).split())

    def tagged_lines(self) -> dict[int, bool]:
        """The lines of the text, from 0, on which a `{% %}` or a comment stands, and whether nothing else does."""
        breaks = self.places.breaks
        rest: dict[int, str] = {}
        for span in self.spans:
            if span.kind == "variable_begin":
                continue
            for line in range(bisect_right(breaks, span.start - 1), bisect_right(breaks, span.end - 1) + 1):
                start = breaks[line - 1] + 1 if line else 0
                end = breaks[line] if line < len(breaks) else len(self.text)
                whole = rest.get(line, self.text[start:end])
                first, last = max(0, span.start - start), span.end - start
                rest[line] = whole[:first] + " " * (min(last, len(whole)) - first) + whole[last:]
        return {line: not text.strip() for line, text in rest.items()}


def read_template(node: ScalarNode) -> Source:
    """The syntax tree of a text with `{{ }}` and `{% %}`. Raises `TemplateFault`."""
    return _read(node, None)


def read_expression(node: ScalarNode) -> Source:
    """The syntax tree of a single expression without braces. Raises `TemplateFault`."""
    return _read(node, "variable")


def _read(node: ScalarNode, state: str | None) -> Source:
    text, places = _text(node), Places.of(node)
    tokens: list[Token] = []
    try:
        for token in _LEXER.tokeniter(text, None, state=state):
            tokens.append(Token(*token))
            if len(tokens) > MOST_TOKENS:
                raise TemplateFault(
                    token[0], "this template is too long to be a message: it has too many parts"
                )
        _not_too_deep(tokens)
        parser = _Parser(tokens)
        tree = parser.parse() if state is None else _expression(parser)
    except TemplateSyntaxError as error:
        raise _in_plain_words(error, text, list(_spans(tokens))) from None
    except (RecursionError, ValueError, OverflowError):
        # Python's own limits: brackets without end, a number of more digits than it reads.
        raise TemplateFault(0, "this is nested too deeply or has a number that is too long") from None
    return Source(text, tree, tuple(_spans(tokens)), places)


def _text(node: ScalarNode) -> str:
    return node.text.replace("\r\n", "\n").replace("\r", "\n")


def _expression(parser: Parser) -> nodes.Node:
    tree = parser.parse_expression()
    if not parser.stream.eos:
        parser.fail("chunk after expression")
    return tree


def _not_too_deep(tokens: list[Token]) -> None:
    depth = 0
    for token in tokens:
        if token.kind == "operator" and token.text in "([{":
            depth += 1
            if depth > DEEPEST:
                raise TemplateFault(
                    token.place, f"brackets stand in one another more than {DEEPEST} deep here"
                )
        elif token.kind == "operator" and token.text in ")]}":
            depth -= 1


def _spans(tokens: list[Token]) -> Iterator[Span]:
    begin: Token | None = None
    for token in tokens:
        end = token.place + len(token.text)
        if token.kind.startswith("raw_"):
            yield Span(token.kind, token.place, token.place, end, end)
        elif token.kind in _BEGINS:
            begin = token
        elif token.kind in _ENDS and begin is not None:
            yield Span(begin.kind, begin.place, begin.place + len(begin.text), token.place, end)
            begin = None


# what is wrong, in plain words

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
_NOTHING: Final = "there is nothing where a value is wanted"
_FROM: Final = re.compile(r"got '(.*)'$", re.DOTALL)


def _in_plain_words(error: TemplateSyntaxError, text: str, spans: list[Span]) -> TemplateFault:
    place, message = min(error.lineno, len(text)), error.message or ""
    for sign, explain in _EXPLAIN:
        if sign in message:
            return explain(place, message, text, spans)
    return _near(place, text)


def _near(place: int, text: str) -> TemplateFault:
    word = re.match(r"\w+|\S?", text[place:])
    found = f'"{word[0]}"' if word and word[0] else "the end"
    return TemplateFault(
        place, f"{found} is not expected here", "a text needs quotes, and a field dots: order.number"
    )


def _unexpected_letter(place: int, message: str, text: str, spans: list[Span]) -> TemplateFault:
    letter = text[place : place + 1]
    return TemplateFault(place, f"{letter} has no meaning here", _SIGNS.get(letter, ""))


def _unexpected_bracket(place: int, message: str, text: str, spans: list[Span]) -> TemplateFault:
    letter = text[place : place + 1]
    wanted = re.search(r", expected '(.)'", message)
    if wanted:
        return TemplateFault(place, f"a closing {wanted[1]} is missing before this {letter}", "")
    if letter == "}":
        return TemplateFault(place, "a single } does not close `{{`", "write }}")
    return TemplateFault(place, f"there is a {letter} without its partner", "")


def _unknown_tag(place: int, message: str, text: str, spans: list[Span]) -> TemplateFault:
    found = re.search(r"unknown tag '(\w+)'", message)
    name = found[1] if found else ""
    open_tag = re.search(r"needs to be closed is '(\w+)'", message)
    if name in _TAGS:
        return _misplaced(place, name, open_tag[1] if open_tag else "")
    near = nearest(name, _TAGS)
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


def _not_closed(place: int, message: str, text: str, spans: list[Span]) -> TemplateFault:
    tags = [
        (re.match(r"\w*", text[span.inside :].lstrip()), span) for span in spans if span.kind == "block_begin"
    ]
    stack: list[tuple[str, Span]] = []
    for match, span in tags:
        word = match[0] if match else ""
        if word in _CLOSED:
            stack.append((word, span))
        elif stack and word == _CLOSED[stack[-1][0]]:
            stack.pop()
    if not stack:
        return TemplateFault(place, "`set` gives a name a value on one line", "{% set total = 0 %}")
    word, span = stack[-1]
    return TemplateFault(span.start, f"`{{% {word} … %}}` is never closed", f"{{% {_CLOSED[word]} %}}")


def _brace_not_closed(place: int, message: str, text: str, spans: list[Span]) -> TemplateFault:
    start = max(text.rfind("{{", 0, place), text.rfind("{%", 0, place))
    if start < 0:  # a formula
        return TemplateFault(place, _NOTHING)
    end = "%}" if text.startswith("{%", start) else "}}"
    return TemplateFault(start, f"`{text[start : start + 2]}` is never closed", f"write {end} behind it")


def _not_expected(place: int, message: str, text: str, spans: list[Span]) -> TemplateFault:
    got = _FROM.search(message)
    if got is not None and got[1] == "end of template":
        return _brace_not_closed(place, message, text, spans)
    if got is not None and got[1] in ("end of print statement", "end of statement block"):
        return TemplateFault(place, "something is missing before this end", "")
    if re.search(r"\belse\s+$", text[:place]) and text.startswith("if", place):
        return TemplateFault(place, "`else if` is one word here", "elif")
    if text[place : place + 1] == "=" and text[place : place + 2] != "==":
        return TemplateFault(place, "a single = gives a value; to compare, there are two", "==")
    return _near(place, text)


def _nothing_there(place: int, message: str, text: str, spans: list[Span]) -> TemplateFault:
    if message.endswith("'end of template'"):
        return _brace_not_closed(place, message, text, spans)
    return TemplateFault(place, _NOTHING)


def _comment(place: int, message: str, text: str, spans: list[Span]) -> TemplateFault:
    start = max(text.rfind("{#", 0, place + 2), 0)
    return TemplateFault(start, "`{#` begins a comment that is never closed", "write #} behind it")


def _raw(place: int, message: str, text: str, spans: list[Span]) -> TemplateFault:
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

_SINGLE: Final = re.compile(r"(?<!\{)[{]\s?(?:[a-z_]+\.)+[a-z_]+\s?[}](?!\})", re.IGNORECASE)


def single_braces(source: Source) -> Iterator[int]:
    """The places where a field stands in single braces, which print as they are."""
    starts = [0, *(span.end for span in source.spans)]
    ends = [*(span.start for span in source.spans), len(source.text)]
    for start, end in zip(starts, ends, strict=True):
        for match in _SINGLE.finditer(source.text, start, end):
            yield match.start()
