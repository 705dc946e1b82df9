"""Reads a template's text into Jinja's syntax tree, every part with its exact place, and its faults in plain words.

Jinja counts lines; here each node's `lineno` is the place of its first letter in the text instead, so that a
fault can be shown at the very letter, and an expression as its author wrote it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.lexer import Lexer, TokenStream
from jinja2.parser import Parser

from engine.language.node import ScalarNode
from engine.language.problem import Mark
from engine.language.templates.faults import TemplateFault, in_plain_words

DEEPEST: Final = 40
"""The parts of a template stand in one another at most this deep."""

MOST_TOKENS: Final = 8_000
"""So many words and signs are read of a template, and no more."""

_BEGINS: Final = ("variable_begin", "block_begin", "comment_begin")
_ENDS: Final = ("variable_end", "block_end", "comment_end")
_HEAD: Final = re.compile(r"(?:if|elif|set\s+\w+\s*=|for\s+[\w\s,]+?\s+in)\s(.*)", re.DOTALL)


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
        raise in_plain_words(error, text) from None
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


_SINGLE: Final = re.compile(r"(?<!\{)[{]\s?(?:[a-z_]+\.)+[a-z_]+\s?[}](?!\})", re.IGNORECASE)


def single_braces(text: str, spans: Sequence[Span] = ()) -> Iterator[tuple[int, str]]:
    """The places where a field stands in single braces, which print as they are, and the field."""
    starts = [0, *(span.end for span in spans)]
    ends = [*(span.start for span in spans), len(text)]
    for start, end in zip(starts, ends, strict=True):
        for match in _SINGLE.finditer(text, start, end):
            yield match.start(), match[0].strip("{} ")
