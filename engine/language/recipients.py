"""Mail addresses with their names: read from a rule, filled in for an event, written so that they read back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import idna
import re2
from email_validator import EmailNotValidError, validate_email

from engine.language.fields import Field, FieldValue, Filled, Fixed, Word
from engine.language.node import Node, ScalarNode, SequenceNode
from engine.language.plain import cut, one_line, printable
from engine.language.problem import Mark, Problems
from engine.language.scope import Scope
from engine.language.template import PLAIN, Target, Template, compile_template
from engine.model import Gap

_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_PART = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,;])+')
_LABEL = re2.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_PLAIN_NAME = re2.compile(r"[\pL\pM\pN !#$%&'*+/=?^_`{|}~-]*")
_ESCAPED = re2.compile(r"\\(.)")
_LONGEST_ADDRESS = 254
_LONGEST_LOCAL = 64
_LONGEST_NAME = 200


class NotAnAddress(ValueError):
    """A text that is not one mail address; says why in plain words."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mail address and the name shown with it, kept apart."""

    address: str
    name: str = ""

    @classmethod
    def read(cls, text: str) -> Mailbox:
        """Read `ana@example.com` or `Ana <ana@example.com>`. Raises `NotAnAddress`."""
        text = text.strip()
        if not text.endswith(">"):
            return cls(checked_address(text))
        name, _, address = text[:-1].rpartition("<")
        return cls(checked_address(address), _unquoted(name.strip()))

    def __str__(self) -> str:
        """Written so that `read` gives the same again, whatever the name holds."""
        if not self.name:
            return self.address
        name = self.name if _PLAIN_NAME.fullmatch(self.name) else _quoted(self.name)
        return f"{name} <{self.address}>"

    @property
    def local(self) -> str:
        """The part before the @."""
        return self.address.rpartition("@")[0]

    @property
    def domain(self) -> str:
        """The part after the @ as mail servers know it, in ASCII."""
        return _ascii_domain(self.address.rpartition("@")[2])

    @property
    def envelope(self) -> str:
        """The address as it is given to a mail server; only the part before the @ may be beyond ASCII."""
        return f"{self.local}@{self.domain}"


@lru_cache(
    maxsize=1024
)  # an address is looked at several times on its way, and one's own people get most mails
def checked_address(text: str) -> str:
    """The text, if it is exactly one mail address. Raises `NotAnAddress`."""
    shown = cut(one_line(printable(text)), 80)
    local, at, domain = text.strip().rpartition("@")
    if not at or len(local) > _LONGEST_LOCAL or len(text) > _LONGEST_ADDRESS:
        raise NotAnAddress(f'"{shown}" is not a mail address')
    try:
        # Whether the domain exists is the mail server's to say: here it need only be written as one.
        local = validate_email(f"{local}@example.com", check_deliverability=False).local_part
        _ascii_domain(domain)
    except (EmailNotValidError, UnicodeError) as error:
        raise NotAnAddress(f'"{shown}" is not one mail address') from error
    return f"{local}@{domain}"


def _ascii_domain(domain: str) -> str:
    if not domain.isascii():
        domain = idna.encode(domain, uts46=True).decode("ascii")
    if len(domain) > 253 or not all(_LABEL.fullmatch(label) for label in domain.split(".")):
        raise UnicodeError("not a domain")
    return domain


def clean_name(text: str) -> str:
    """A name as it may stand beside an address: one line, no hidden characters, nothing that a reader decodes."""
    return cut(one_line(printable(text)).replace("=?", "= ?"), _LONGEST_NAME)


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquoted(name: str) -> str:
    if len(name) < 2 or not (name[0] == name[-1] == '"'):
        return name
    return str(_ESCAPED.sub(r"\1", name[1:-1]))


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient as its author wrote it: name and address apart, each perhaps filled in from the event."""

    mark: Mark
    name: Template | None
    address: Template

    def fill(self, scope: Scope) -> tuple[Mailbox | None, tuple[Gap, ...]]:
        """The mailbox for one event; without a usable address none, and a gap that says why."""
        address, gaps = self.address.render(scope)
        name, more = self.name.render(scope) if self.name else ("", ())
        try:
            return Mailbox(checked_address(address), clean_name(name)), gaps + more
        except NotAnAddress as error:
            because = str(error) if address.strip() else "no recipient: the address is empty"
            return None, gaps or (Gap(self.mark.line, _bare(self.address.source), because),)

    def templates(self) -> Iterator[Template]:
        """Those of the name and of the address."""
        if self.name:
            yield self.name
        yield self.address


def _bare(source: str) -> str:
    return source.strip().removeprefix("{{").removesuffix("}}").strip()


@dataclass(frozen=True, slots=True)
class Mailboxes(FieldValue):
    """The recipients of a mail; filled in as a list of texts that `Mailbox.read` understands, each once."""

    recipients: tuple[Recipient, ...]

    def render(self, scope: Scope, target: Target = PLAIN) -> Filled:
        """Those that have an address, and a gap for each that has none."""
        filled = [recipient.fill(scope) for recipient in self.recipients]
        found = {mailbox.address.casefold(): str(mailbox) for mailbox, _ in reversed(filled) if mailbox}
        return list(reversed(found.values())), tuple(gap for _, gaps in filled for gap in gaps)

    def templates(self) -> tuple[Template, ...]:
        """Those of every recipient."""
        return tuple(template for recipient in self.recipients for template in recipient.templates())


@dataclass(frozen=True, slots=True)
class Recipients(Field):
    """Mail addresses: one text (`a@x.com, b@x.com`), or a list. A text with `{{ }}` in it is exactly one."""

    kind: ClassVar[str] = "list of mail addresses"

    def read(self, node: Node, problems: Problems) -> FieldValue | None:
        """Read the addresses; those written out are checked here and now."""
        found = [self._recipient(part, problems) for part in self._parts(node, problems)]
        good = tuple(recipient for recipient in found if recipient)
        return Mailboxes(node.mark, good) if good and len(good) == len(found) else None

    def _parts(self, node: Node, problems: Problems) -> Iterator[ScalarNode]:
        if isinstance(node, ScalarNode):
            yield from _split(node)
        elif isinstance(node, SequenceNode):
            for item in node:
                if isinstance(item, ScalarNode):
                    yield from [item] if item.empty or not item.text.strip() else _split(item)
                else:
                    yield ScalarNode("", item.mark)
        else:
            yield ScalarNode("", node.mark)

    def _recipient(self, node: ScalarNode, problems: Problems) -> Recipient | None:
        if node.empty or not node.text.strip():
            self.fault(node, problems, f"{self.name} has an entry that is empty or not a text")
            return None
        if not _TAG.search(node.text):
            return self._constant(node, problems)
        return self._filled_in(node, problems)

    def _constant(self, node: ScalarNode, problems: Problems) -> Recipient | None:
        try:
            Mailbox.read(node.text)
        except NotAnAddress as error:
            self.fault(node, problems, f"{self.name}: {error}")
            return None
        return self._compiled(node, problems)

    def _filled_in(self, node: ScalarNode, problems: Problems) -> Recipient | None:
        bare = _TAG.sub(lambda tag: "_" * len(tag[0]), node.text)
        if bare.count("<") > 1 or ("<" not in bare and ("," in bare or ";" in bare)):
            message = (
                f"{self.name}: a text with {{{{ }}}} in it is one recipient, so that a value can add none. "
                "Write each on a line of its own, after a dash"
            )
            problems.error(
                node.mark, message, f'{self.name}:\n  - "{{{{ order.email }}}}"\n  - ops@example.com'
            )
            return None
        return self._compiled(node, problems)

    def _compiled(self, node: ScalarNode, problems: Problems) -> Recipient | None:
        name, address = _halves(node)
        compiled = compile_template(address, problems)
        shown = compile_template(name, problems) if name else None
        if compiled is None or (name and shown is None):
            return None
        return Recipient(node.mark, shown, compiled)

    def shape(self) -> dict[str, Any]:
        """A text or a list of texts."""
        return {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


def _split(node: ScalarNode) -> Iterator[ScalarNode]:
    """The addresses of a text that is written out; a text with values in it stays whole."""
    if _TAG.search(node.text):
        yield node
        return
    for match in _PART.finditer(node.text):
        text = match[0]
        if text.strip():
            yield replace(
                node, text=text.strip(), mark=_moved(node, match.start() + len(text) - len(text.lstrip()))
            )


def _halves(node: ScalarNode) -> tuple[ScalarNode | None, ScalarNode]:
    """The name, where there is one, and the address."""
    bare = _TAG.sub(lambda tag: "_" * len(tag[0]), node.text)
    start = bare.find("<")
    if start < 0:
        return None, replace(node, text=node.text.strip())
    end = bare.find(">", start)
    address = node.text[start + 1 : end if end > start else len(node.text)].strip()
    name = _unquoted(node.text[:start].strip())
    halves = replace(node, text=address, mark=_moved(node, start + 1))
    return (replace(node, text=name) if name else None), halves


def _moved(node: ScalarNode, offset: int) -> Mark:
    if node.content is not None:
        return node.mark
    quote = 1 if node.style in ("single", "double") and offset else 0
    return Mark(node.mark.line, node.mark.column + offset + quote)


@dataclass(frozen=True, slots=True)
class Sender(Word):
    """One mail address, written out, with or without a name."""

    kind: ClassVar[str] = "mail address"

    def word(self, node: ScalarNode, text: str, problems: Problems) -> FieldValue | None:
        """Take `care@example.com` or `Shop <care@example.com>`."""
        try:
            return Fixed(node.mark, str(Mailbox.read(text)))
        except NotAnAddress as error:
            self.fault(node, problems, f"{self.name}: {error}")
            return None
