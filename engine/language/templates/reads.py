"""Finds which fields of the event a template reads, so that misspelt and often empty ones are told at load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from jinja2 import nodes

from engine.language.problem import Mark
from engine.language.templates.filters import FILTERS
from engine.language.templates.guard import arguments
from engine.language.templates.lookup import Step, chain, path_text
from engine.language.templates.syntax import Source

Path = tuple[str | int | None, ...]
"""The steps of a lookup from the event's root; None is any item of a list."""


@dataclass(frozen=True, slots=True)
class Read:
    """One field that a template reads, where, and as its author named it.

    `path` has None for any item of a list, so an item's name in a loop is `("order", "line_items", None,
    "name")`. `guarded` says that an empty value leaves no hole (`or`, `default`, an `if` around it, a test or a
    loop over it), `typed` that the whole text is this one value, which keeps its type. `filters` are those
    the value goes through, the first one first.
    """

    path: Path
    mark: Mark
    expression: str
    guarded: bool = False
    filters: tuple[str, ...] = ()
    typed: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a value comes from, and where its items do if it is a list."""

    where: tuple[Path, ...] = ()
    items: tuple[Path, ...] = ()

    @staticmethod
    def at(paths: Iterable[Path]) -> _Found:
        where = tuple(paths)
        return _Found(where, tuple((*path, None) for path in where))

    def step(self, step: Step) -> _Found:
        inner = self.where or (() if isinstance(step, str) else self.items)
        if not self.where:
            return _Found.at(inner)
        return _Found.at((*path, step) for path in inner)

    def __or__(self, other: _Found) -> _Found:
        return _Found(self.where + other.where, self.items + other.items)


_NOTHING: Final = _Found()
_SAME_ITEMS: Final = frozenset(("sort", "unique", "reverse", "list", "selectattr", "rejectattr"))
_DEFAULTS: Final = frozenset(("default", "d"))
_SIZES: Final = frozenset(("lt", "lteq", "gt", "gteq"))
_OF_NUMBERS: Final = frozenset(
    ("odd", "even", "divisibleby", "gt", "ge", "lt", "le", "greaterthan", "lessthan")
)


def reads_of(source: Source, typed: bool) -> tuple[Read, ...]:
    """Every field that a template or a formula reads, each place once, in the order of the text."""
    reader = _Reader(source, typed)
    if isinstance(source.tree, nodes.Template):
        reader.body(source.tree.body)
    else:
        reader.test(source.tree)
    return tuple(dict.fromkeys(reader.reads))


def _names(node: nodes.Node) -> set[str]:
    return {one.name for one in (node, *node.find_all(nodes.Name)) if isinstance(one, nodes.Name)}


class _Reader:
    """Walks a checked tree and notes each lookup with what is known around it."""

    def __init__(self, source: Source, typed: bool) -> None:
        self.source = source
        self.typed = typed
        self.reads: list[Read] = []
        self.guards: list[Path] = []
        names = (assign.target for assign in source.tree.find_all(nodes.Assign))
        self.assigned: set[str] = set()
        self.scopes: list[dict[str, _Found]] = [
            {name.name: _NOTHING for name in names if isinstance(name, nodes.Name)}
        ]

    # statements

    def body(self, parts: Sequence[nodes.Node]) -> None:
        """Note what the parts read."""
        for part in parts:
            match part:
                case nodes.Output():
                    for child in part.nodes:
                        self.value(child)
                case nodes.If():
                    self._if(part)
                case nodes.For():
                    self._for(part)
                case nodes.Assign():
                    self._set(part)

    def _if(self, node: nodes.If) -> None:
        otherwise: list[Path] = []
        before, after = self.assigned, set(self.assigned)
        for arm in (node, *node.elif_):
            self.assigned = set(before)  # what another arm sets is not set in this one
            with self._guarding(otherwise):
                self.test(arm.test)
                with self._guarding(self._there(arm.test)):
                    self.body(arm.body)
            otherwise += self._there_unless(arm.test)
            after |= self.assigned
        self.assigned = set(before)
        with self._guarding(otherwise):
            self.body(node.else_)
        self.assigned |= after

    def _for(self, node: nodes.For) -> None:
        self.value(node.iter, guarded=True)
        names = node.target.items if isinstance(node.target, nodes.Tuple) else [node.target]
        item = _Found.at(self.found(node.iter).items) if len(names) == 1 else _NOTHING
        self.scopes.append(
            {name.name: item for name in names if isinstance(name, nodes.Name)} | {"loop": _NOTHING}
        )
        if node.test is not None:
            self.test(node.test)
        with self._guarding([] if node.test is None else self._there(node.test)):
            self.body(node.body)
        self.scopes.pop()
        self.body(node.else_)

    def _set(self, node: nodes.Assign) -> None:
        name = node.target.name if isinstance(node.target, nodes.Name) else ""
        start, _ = chain(node.node)
        if name in _names(node.node) and name not in self.assigned and len(self.scopes) > 1:
            self._note([(name,)], node, name, False, ())
        # A plain field under another name leaves a hole only where it is used.
        self.value(node.node, guarded=isinstance(start, nodes.Name))
        scope = next((scope for scope in reversed(self.scopes) if name in scope), self.scopes[0])
        scope[name] = scope.get(name, _NOTHING) | self.found(node.node)
        self.assigned.add(name)

    @contextmanager
    def _guarding(self, paths: Sequence[Path]) -> Iterator[None]:
        before = len(self.guards)
        self.guards.extend(paths)
        yield
        del self.guards[before:]

    # values

    def value(self, node: nodes.Node, guarded: bool = False, filters: tuple[str, ...] = ()) -> None:
        """Note what a value reads that is going to be used."""
        start, steps = chain(node)
        if isinstance(start, nodes.Name):
            self._lookup(start, steps, guarded, filters)
        elif steps:
            self.value(start)
            self._note(self.found(node).where, start, path_text("", steps).lstrip("."), guarded, filters)
        else:
            self._composed(node, guarded, filters)

    def _composed(self, node: nodes.Node, guarded: bool, filters: tuple[str, ...]) -> None:
        match node:
            case nodes.Filter():
                self._filter(node, guarded, filters)
            case nodes.Or():
                self.value(node.left, True, filters)
                with self._guarding(self._there_unless(node.left)):
                    self.value(node.right, guarded, filters)
            case nodes.And():
                self.test(node.left)
                with self._guarding(self._there(node.left)):
                    self.value(node.right, guarded, filters)
            case nodes.CondExpr():
                self._choice(node, guarded, filters)
            case nodes.Not() | nodes.Test() | nodes.Compare():
                self.test(node)
            case _:
                for child in node.iter_child_nodes():
                    self.value(child)

    def _choice(self, node: nodes.CondExpr, guarded: bool, filters: tuple[str, ...]) -> None:
        self.test(node.test)
        with self._guarding(self._there(node.test)):
            self.value(node.expr1, guarded, filters)
        if node.expr2 is not None:
            with self._guarding(self._there_unless(node.test)):
                self.value(node.expr2, guarded, filters)

    def _filter(self, node: nodes.Filter, guarded: bool, filters: tuple[str, ...]) -> None:
        through = (node.name, *filters)
        inner = node.node or nodes.Const(None)
        self.value(inner, guarded or node.name in _DEFAULTS, through)
        given = arguments(node, FILTERS[node.name])
        attribute = given.pop("attribute", None)
        if isinstance(attribute, nodes.Const) and isinstance(attribute.value, str):
            steps = tuple(attribute.value.split("."))
            paths = tuple((*path, *steps) for path in self.found(inner).items)
            self._note(paths, node, attribute.value, True, through)
        for value in given.values():
            self.value(value, guarded)

    def _lookup(
        self, start: nodes.Name, steps: tuple[Step, ...], guarded: bool, filters: tuple[str, ...]
    ) -> None:
        found = self._named(start.name)
        if found is None:
            paths: tuple[Path, ...] = ((start.name, *steps),)
        else:
            paths = self._after(found, steps).where
        self._note(paths, start, path_text(start.name, steps), guarded, filters)

    def _note(
        self, paths: Iterable[Path], at: nodes.Node, expression: str, guarded: bool, filters: tuple[str, ...]
    ) -> None:
        for path in paths:
            there = guarded or any(guard[: len(path)] == path for guard in self.guards)
            self.reads.append(Read(path, self.source.mark(at), expression, there, filters, self.typed))

    def test(self, node: nodes.Node) -> None:
        """Note what a value reads of which only the truth counts."""
        match node:
            case nodes.And():
                self.test(node.left)
                with self._guarding(self._there(node.left)):
                    self.test(node.right)
            case nodes.Or():
                self.test(node.left)
                with self._guarding(self._there_unless(node.left)):
                    self.test(node.right)
            case nodes.Not():
                self.test(node.node)
            case nodes.Test():
                self.value(node.node, node.name not in _OF_NUMBERS)
                for value in node.args:
                    self.value(value)
            case nodes.Compare():
                harmless = not any(operand.op in _SIZES for operand in node.ops)
                for side in (node.expr, *(operand.expr for operand in node.ops)):
                    self.value(side, harmless)
            case _:
                self.value(node, True)

    # where values come from

    def found(self, node: nodes.Node) -> _Found:
        """Where a value comes from, as far as it can be told."""
        start, steps = chain(node)
        if isinstance(start, nodes.Name):
            named = self._named(start.name)
            return _Found.at([(start.name, *steps)]) if named is None else self._after(named, steps)
        return self._after(self._origin(start), steps)

    def _origin(self, node: nodes.Node) -> _Found:
        match node:
            case nodes.Filter() if node.node is not None:
                return self._filtered(node, self.found(node.node))
            case nodes.Or() | nodes.And():
                return self.found(node.left) | self.found(node.right)
            case nodes.CondExpr():
                return self.found(node.expr1) | (self.found(node.expr2) if node.expr2 else _NOTHING)
            case nodes.Getitem(arg=nodes.Slice()):
                return self.found(node.node)
            case nodes.Getitem():
                return _Found.at(self.found(node.node).items)
        return _NOTHING

    def _filtered(self, node: nodes.Filter, inner: _Found) -> _Found:
        if node.name in _SAME_ITEMS:
            return inner
        if node.name in ("first", "last"):
            return _Found.at(inner.items)
        given = arguments(node, FILTERS[node.name])
        if node.name in _DEFAULTS:
            return inner | (self.found(given["instead"]) if "instead" in given else _NOTHING)
        attribute = given.get("attribute")
        if node.name == "map" and isinstance(attribute, nodes.Const):
            steps = tuple(str(attribute.value).split("."))
            return _Found(items=tuple((*path, *steps) for path in inner.items))
        return _NOTHING

    def _named(self, name: str) -> _Found | None:
        """Where a name of the template comes from, None for a field of the event.

        Before its `set`, a name is the event's field; in a loop it may be what the turn before gave it.
        """
        inner = next((scope[name] for scope in reversed(self.scopes[1:]) if name in scope), None)
        if inner is not None or (name not in self.assigned and len(self.scopes) == 1):
            return inner
        return self.scopes[0].get(name)

    def _after(self, found: _Found, steps: tuple[Step, ...]) -> _Found:
        for step in steps:
            found = found.step(step)
        return found

    # what a test makes sure of

    def _there(self, node: nodes.Node) -> list[Path]:
        """The fields that are not empty where a test holds."""
        match node:
            case nodes.And():
                return self._there(node.left) + self._there(node.right)
            case nodes.Or():
                right = self._there(node.right)
                return [path for path in self._there(node.left) if path in right]
            case nodes.Not():
                return self._there_unless(node.node)
            case nodes.Test():
                empty = node.name in ("undefined", "none", "null", "missing", "empty", "false")
                return [] if empty else list(self.found(node.node).where)
            case nodes.Compare():
                return [] if any(operand.op in ("ne", "notin") for operand in node.ops) else self._sides(node)
        return list(self.found(node).where)

    def _sides(self, node: nodes.Compare) -> list[Path]:
        return [
            path for side in (node.expr, *(op.expr for op in node.ops)) for path in self.found(side).where
        ]

    def _there_unless(self, node: nodes.Node) -> list[Path]:
        """The fields that are not empty where a test does not hold."""
        match node:
            case nodes.Or():
                return self._there_unless(node.left) + self._there_unless(node.right)
            case nodes.Not():
                return self._there(node.node)
            case nodes.Test() if node.name in ("undefined", "none", "null", "missing", "empty"):
                return list(self.found(node.node).where)
            case nodes.Compare() if all(operand.op == "ne" for operand in node.ops):
                return self._sides(node)
        return []
