"""Rule texts become a rulebook; a broken file hurts only itself, and its last good version stays in force."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from engine.language.problem import Mark, Problem, Problems
from engine.language.scope import Shop
from engine.language.words import normal_key
from engine.rulebook.book import Rulebook
from engine.rulebook.lists import read_list, read_products
from engine.rulebook.reading import RuleFile, read_rule, rule_id
from engine.rulebook.rule import Rule
from engine.rulebook.vocabulary import Language

PRODUCTS = "lists/products.csv"
"""The shop's own names of its SKUs."""

OLDER = 200
"""Older versions of rules that are kept read."""


class Loader:
    """Reads rule texts into a rulebook, and reads again only the texts that changed since."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._read: dict[tuple[str, str], RuleFile] = {}
        self._lists: frozenset[str] = frozenset()
        self._older: dict[tuple[str, str], RuleFile] = {}

    def load(self, texts: Mapping[str, str], last_good: Mapping[str, str] | None = None) -> Rulebook:
        """The rulebook of these texts by file name (`big-order.yaml`, `lists/vip-customers.csv`).

        Where a file is broken, its text in `last_good` stays in force, if it has one there; and so does that of a
        list that is gone although rules need it.
        """
        book = self._load(texts, last_good)
        gone = {
            name: text for name, text in (last_good or {}).items() if not _is_rule(name) and name not in texts
        }
        if not gone:
            return book
        kept = self._load({**texts, **gone}, last_good)
        if len(kept.rules) <= len(book.rules):
            return book
        message = "this list is gone, and rules need it: its last version stays in force"
        told = [Problem(name, 1, 1, "error", message) for name in gone]
        problems = tuple(sorted([*kept.problems, *told]))
        return replace(kept, problems=problems, older=kept.older | gone.keys())

    def _load(self, texts: Mapping[str, str], last_good: Mapping[str, str] | None) -> Rulebook:
        lists, problems = _lists(texts)
        self._start(lists)
        names, refused = _apart(texts)
        found = {name: self._file(name, texts[name], lists) for name in names}
        older = {
            name: self._file(name, (last_good or {})[name], lists)
            for name, file in found.items()
            if file.rule is None and name in (last_good or {})
        }
        rules = [file.rule for file in (*found.values(), *older.values()) if file.rule]
        running = frozenset(name for name, file in older.items() if file.rule)
        in_force = _in_force(texts, found, {name: (last_good or {})[name] for name in running})
        problems += refused + [problem for file in found.values() for problem in file.problems]
        products = Problems(PRODUCTS)
        self._forget({**texts, **in_force}, texts)
        return Rulebook(
            rules=tuple(sorted(rules, key=lambda rule: rule.file)),
            hash=_hash(in_force, self.language.shop),
            texts=in_force,
            products=read_products(texts.get(PRODUCTS, ""), products),
            problems=tuple(sorted([*problems, *products.found, *_same_names(rules)])),
            shop=self.language.shop,
            lists=lists,
            destinations=self.language.destinations,
            sources=self.language.sources,
            older=running,
        )

    def alone(self, file: str, text: str, book: Rulebook) -> Rulebook:
        """A rulebook of one rule as its file once was, with the lists and facts of today."""
        if (file, text) not in self._older:
            if len(self._older) >= OLDER:
                self._older.clear()
            self._older[file, text] = read_rule(file, text, self.language, book.lists)
        rule = self._older[file, text].rule
        return replace(book, rules=(rule,) if rule else (), problems=())

    def _start(self, lists: Mapping[str, frozenset[str]]) -> None:
        """What rules may say of lists depends on their names: with other ones every rule is read again."""
        if self._lists != lists.keys():
            self._read.clear()
            self._lists = frozenset(lists)

    def _file(self, name: str, text: str, lists: Mapping[str, frozenset[str]]) -> RuleFile:
        if (name, text) not in self._read:
            self._read[name, text] = read_rule(name, text, self.language, lists)
        return self._read[name, text]

    def _forget(self, *kept: Mapping[str, str]) -> None:
        texts = {one for some in kept for one in some.items()}
        self._read = {key: file for key, file in self._read.items() if key in texts}


def _is_rule(name: str) -> bool:
    return "/" not in name and name.endswith((".yaml", ".yml"))


def _apart(texts: Iterable[str]) -> tuple[list[str], list[Problem]]:
    """The rule files in order, without those that would be a rule of another file's id, which are told."""
    first: dict[str, str] = {}
    refused: list[Problem] = []
    for name in sorted(filter(_is_rule, texts)):
        other = first.setdefault(rule_id(name), name)
        if other != name:
            message = f"{other} is there already, and both would be the rule {rule_id(name)}. Give this file another name"
            refused.append(Problem(name, 1, 1, "error", message))
    return list(first.values()), refused


def _in_force(
    texts: Mapping[str, str], found: Mapping[str, RuleFile], older: Mapping[str, str]
) -> Mapping[str, str]:
    """The texts that the rulebook is made of: lists, good rules, and old versions of broken ones."""
    good = {name for name, file in found.items() if file.rule}
    lists = {name for name in texts if not _is_rule(name)}
    return {**{name: texts[name] for name in sorted(good | lists)}, **older}


def _lists(texts: Mapping[str, str]) -> tuple[dict[str, frozenset[str]], list[Problem]]:
    lists: dict[str, frozenset[str]] = {}
    found: list[Problem] = []
    files: dict[str, str] = {}
    for name, text in sorted(texts.items()):
        if name.startswith("lists/") and name.endswith(".csv"):
            problems = Problems(name)
            called = normal_key(name.removeprefix("lists/").removesuffix(".csv"))
            if called in files:
                problems.warning(
                    Mark(1, 1), f'{files[called]} is the list "{called}", too; only this file counts'
                )
            files[called] = name
            lists[called] = read_list(text, problems)
            found += problems.found
    return lists, found


def _same_names(rules: list[Rule]) -> Iterator[Problem]:
    first: dict[str, Rule] = {}
    for rule in sorted(rules, key=lambda rule: rule.file):
        other = first.setdefault(normal_key(rule.name), rule)
        if other is not rule:
            message = f'{other.file} has the same name, "{rule.name}": people will not tell them apart'
            yield Problem(rule.file, rule.mark.line, rule.mark.column, "warning", message)


def _hash(texts: Mapping[str, str], shop: Shop) -> str:
    """Names exactly these texts under exactly these facts of the shop: 16 hexadecimal letters of SHA-256."""
    days = ",".join(sorted(map(str, shop.holidays)))
    digest = hashlib.sha256(f"{shop.timezone}\0{shop.currency}\0{shop.locale}\0{days}".encode())
    for name, text in sorted(texts.items()):
        digest.update(f"{name}\0{len(text)}\0".encode())
        digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]
