"""Keeps templates harmless: which parts of Jinja they may use, and how much work one rendering may do.

What may stand in a template is a list; whatever is not on it is refused when the rule is loaded. Nothing in a
template is ever turned into Python code, and no attribute of a Python object is ever looked up: names reach
fields of the event and nothing else. What is allowed still costs, so each rendering has a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from jinja2 import nodes

from engine.language.templates.filters import FILTERS, MISSED
from engine.language.templates.helpers import Helper
from engine.language.templates.syntax import DEEPEST
from engine.language.templates.tests import TESTS
from engine.language.templates.values import LOOP_FIELDS
from engine.language.words import listing, nearest

MOST_SOURCE_LETTERS: Final = 20_000
"""A template's source has at most this many letters."""
MOST_PARTS: Final = 2_000
"""A template's syntax tree has at most this many nodes."""
MOST_LISTED: Final = 50
"""A list written in a template has at most this many items."""

Fault = Callable[[nodes.Node, str, str], None]
"""Takes note of a fault: the node it is about, what is wrong, and what to write instead ("" for no advice)."""

_LITERALS = (nodes.Const, nodes.TemplateData)
_OPERATORS = (
    nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Pos,
    nodes.And, nodes.Or, nodes.Not, nodes.Compare, nodes.Operand, nodes.Concat, nodes.CondExpr,
)  # fmt: skip
_LOOKUPS = (nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.List)
_STATEMENTS = (nodes.Template, nodes.Output, nodes.If, nodes.For, nodes.Assign)
_HELPED = (nodes.Filter, nodes.Test, nodes.Keyword)
ALLOWED: Final = frozenset((*_LITERALS, *_OPERATORS, *_LOOKUPS, *_STATEMENTS, *_HELPED))
"""The parts of Jinja that a template may use."""

_LARGEST: Final = 10**100
"""A number written in a template is smaller than this."""

_FILES = "a template cannot read another file: write the text here"
_MACROS = "there are no macros: write the text where it is wanted, or loop over a list"
_BLOCKS = "there are no blocks or layouts: write the text here"
_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: _FILES,
    nodes.Import: _FILES,
    nodes.FromImport: _FILES,
    nodes.Extends: _FILES,
    nodes.Macro: _MACROS,
    nodes.CallBlock: _MACROS,
    nodes.Block: _BLOCKS,
    nodes.FilterBlock: "a filter goes behind one value, as in `{{ order.number | upper }}`",
    nodes.With: "`with` is not known here: use `{% set name = … %}`",
    nodes.AssignBlock: "`set` takes its value on one line: `{% set name = … %}`",
    nodes.Scope: "`autoescape` is not needed: every value is made safe for where it goes",
    nodes.Dict: "an object in { } cannot be written in a template",
    nodes.Tuple: "several values with commas are a list: put them in [ ]. A number is written without commas",
    nodes.Pow: "`**` is not known here: multiply with `*`",
    nodes.NSRef: "`set` takes a plain name: `{% set total = … %}`; it keeps its value outside of a loop too",
}
_CALLS = {
    "range": "loop over a list of the event, as in `{% for item in order.line_items %}`",
    "namespace": "`{% set total = total + 1 %}` inside a loop keeps its value, so none is needed",
    "keys": "a field is written without ( )",
    "items": "a field is written without ( ); the fields of an object are `… | items`",
    "get": "write `order.name or 'something else'`",
    "strftime": "write the date with `| day`",
    "format": "write `| money` or `| round(2)`",
    "now": "the time that has passed since a moment is `| ago`",
}
_TAGS = frozenset(("else", "elif", "endif", "endfor", "endset"))
_GLOBALS = frozenset(("range", "dict", "lipsum", "cycler", "joiner", "namespace", "self", "super", "caller"))


def check_tree(tree: nodes.Node, fault: Fault) -> None:
    """Note every part of a syntax tree that a template may not have; too big or too deep a tree ends the check."""
    if not _too_big(tree, fault):
        _Check(fault, _names_set(tree)).visit(tree)


def _too_big(tree: nodes.Node, fault: Fault) -> bool:
    count = 0
    level: list[nodes.Node] = [tree]
    depth = 0
    while level:
        count += len(level)
        depth += 1
        if count > MOST_PARTS:
            fault(level[0], "this template is too long to be a message: it has too many parts", "")
            return True
        if depth > DEEPEST:
            fault(level[0], f"this is nested more than {DEEPEST} deep", "use `{% set … %}` for a part of it")
            return True
        level = [child for node in level for child in node.iter_child_nodes()]
    return False


def _names_set(tree: nodes.Node) -> frozenset[str]:
    return frozenset(name.name for name in tree.find_all(nodes.Name) if name.ctx == "store")


class _Check:
    """Walks a tree of bounded size and notes what is not allowed in it."""

    def __init__(self, fault: Fault, names: frozenset[str]) -> None:
        self.fault = fault
        self.names = names
        self.loops = 0

    def visit(self, node: nodes.Node) -> None:
        kind = type(node)
        if kind is nodes.Call:
            self._call(node)
        elif kind not in ALLOWED:
            self.fault(node, _REFUSED.get(kind, "this part of Jinja is not known here"), "")
        else:
            self._look(node)
            self._children(node)

    def _look(self, node: nodes.Node) -> None:
        match node:
            case nodes.Name():
                self._name(node)
            case nodes.Getattr():
                self._attribute(node)
            case nodes.Getitem():
                self._item(node)
            case nodes.Const():
                self._const(node)
            case nodes.List():
                self._list(node)
            case nodes.For():
                self._loop(node)
            case nodes.Assign():
                self._assign(node)
            case nodes.Add() | nodes.Sub() | nodes.Mul() | nodes.Div():
                self._calculation(node)
            case nodes.Filter():
                self._helper(node, FILTERS, "filter")
            case nodes.Test():
                self._helper(node, TESTS, "test")

    def _children(self, node: nodes.Node) -> None:
        inside = node.body if isinstance(node, nodes.For) else ()
        for child in node.iter_child_nodes():
            within = any(child is part for part in inside)
            self.loops += within
            if not (isinstance(child, nodes.Tuple) and child.ctx == "store"):
                self.visit(child)
            self.loops -= within

    def _call(self, node: nodes.Node) -> None:
        called = node.node if isinstance(node, nodes.Call) else node
        name = called.attr if isinstance(called, nodes.Getattr) else getattr(called, "name", "")
        what = f": `{name}(…)`" if name else ""
        near = nearest(name, FILTERS) if name else []
        advice = f"a filter goes behind its value: `… | {near[0]}`" if near else ""
        advice = _CALLS.get(name) or MISSED.get(name) or advice
        self.fault(called, f"a template cannot call anything{what}", advice)

    def _name(self, node: nodes.Name) -> None:
        if node.name.startswith("__"):
            self.fault(node, f"there is no {node.name} in an event", "")
        elif node.ctx == "store" and node.name == "loop":
            self.fault(node, "`loop` is the counter of a loop: choose another name", "")
        elif node.ctx == "load" and node.name == "loop" and not self.loops:
            self.fault(node, "`loop` is only known inside of `{% for … %}`", "")
        elif node.ctx == "load" and node.name in _TAGS:
            self.fault(node, f"`{node.name}` is a tag", f"{{% {node.name} %}}")
        elif node.ctx == "load" and node.name in _GLOBALS - self.names:
            self.fault(node, f"there is no {node.name} in a template", _CALLS.get(node.name, ""))

    def _attribute(self, node: nodes.Getattr) -> None:
        if node.attr.startswith("__"):
            self.fault(node, f"there is no field {node.attr} in an event", "")
        elif isinstance(node.node, nodes.Name) and node.node.name == "loop" and node.attr not in LOOP_FIELDS:
            known = listing((f"loop.{name}" for name in LOOP_FIELDS), "or")
            self.fault(node, f"there is no loop.{node.attr}", f"write {known}")

    def _item(self, node: nodes.Getitem) -> None:
        if isinstance(node.arg, nodes.Const) and str(node.arg.value).startswith("__"):
            self.fault(node, f"there is no field {node.arg.value} in an event", "")

    def _list(self, node: nodes.List) -> None:
        if len(node.items) > MOST_LISTED:
            self.fault(node, f"a list in a template has at most {MOST_LISTED} items", "")
        if any(isinstance(item, nodes.List) for item in node.items):
            self.fault(node, "a list in a template holds plain values, not lists", "")

    def _loop(self, node: nodes.For) -> None:
        if node.recursive:
            self.fault(node, "a loop cannot call itself: `recursive` is not known here", "")
        target = node.target
        names = target.items if isinstance(target, nodes.Tuple) else [target]
        if not all(isinstance(name, nodes.Name) for name in names):
            self.fault(node, "the loop's name must be a plain one", "{% for item in order.line_items %}")
        for name in names if isinstance(target, nodes.Tuple) else ():
            self.visit(name)

    def _assign(self, node: nodes.Assign) -> None:
        if isinstance(node.target, nodes.Tuple):
            self.fault(node, "`set` takes one name at a time: write one `{% set … %}` for each", "")

    def _calculation(self, node: nodes.BinExpr) -> None:
        left, right = node.left, node.right
        if isinstance(right, nodes.Filter) and right.name == "money":
            self.fault(
                right,
                "`| money` belongs to the last value only",
                "put the calculation in brackets: ( … ) | money",
            )
        if (
            isinstance(node, nodes.Sub)
            and isinstance(left, nodes.Getattr)
            and isinstance(right, nodes.Name)
            and right.name not in self.names
        ):
            field = f"{left.attr}-{right.name}"
            message = f"`{field}` is read as {left.attr} minus {right.name}"
            self.fault(node, message, f'a field with a dash is written ["{field}"]')

    def _const(self, node: nodes.Const) -> None:
        value = node.value
        if isinstance(value, int | float) and not abs(value) < _LARGEST:
            self.fault(node, "this number is too large", "")

    def _helper(self, node: nodes.Filter | nodes.Test, known: Mapping[str, Helper], kind: str) -> None:
        helper = known.get(node.name)
        if helper is None:
            self.fault(node, *_unknown(node.name, known, kind))
        else:
            self._arguments(node, helper)

    def _arguments(self, node: nodes.Filter | nodes.Test, helper: Helper) -> None:
        if node.dyn_args or node.dyn_kwargs:
            self.fault(node, "`*` in brackets is not known here: write the values out", "")
            return
        wrong = helper.wrong_arguments(len(node.args), [str(pair.key) for pair in node.kwargs])
        if wrong:
            self.fault(node, wrong, helper.example)
            return
        for name, value in arguments(node, helper).items():
            self._named(node, helper, name, value)

    def _named(self, node: nodes.Filter | nodes.Test, helper: Helper, name: str, value: nodes.Expr) -> None:
        """Names of fields, filters and tests in brackets are plain texts, so that they can be checked now."""
        known = {"filter": FILTERS, "test": TESTS}.get(name)
        if known is None and name != "attribute":
            return
        if not isinstance(value, nodes.Const) or not isinstance(value.value, str):
            if not (isinstance(value, nodes.Const) and value.value is None):
                self.fault(node, f"`{helper.name}` takes a name in quotes here", helper.example)
        elif known is not None and value.value not in known:
            message, advice = _unknown(value.value, known, name)
            field = f"for a field: map(attribute='{value.value}')"
            self.fault(
                node, message, field if helper.name == "map" and not nearest(value.value, known) else advice
            )
        elif "__" in value.value:
            self.fault(node, f"there is no field {value.value} in an event", "")


def arguments(node: nodes.Filter | nodes.Test, helper: Helper) -> dict[str, nodes.Expr]:
    """What stands in the brackets of a filter or test, by the names of its settings."""
    return helper.named(node.args, ((str(pair.key), pair.value) for pair in node.kwargs))


def _unknown(name: str, known: Mapping[str, Helper], kind: str) -> tuple[str, str]:
    """The sentence for an unknown filter or test, and the advice."""
    near = nearest(name, known)
    instead = MISSED.get(name) or (f"did you mean `{near[0]}`?" if near else "")
    return f'there is no {kind} "{name}"', instead or f"there are {listing(sorted(known))}"
