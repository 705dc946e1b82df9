"""The settings file: the shop's facts, where its rules and its record are, who may send, and its connections.

`${NAME}` reads the environment, or the file that `NAME_FILE` names there; `${file:/run/secrets/name}` reads a file.
Nothing else is expanded. Every fault has its place and a remedy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.actions.base import Action, Destinations
from engine.language.document import read_document
from engine.language.fields import fixed_values, public_facts, read_fields
from engine.language.moment import read_day
from engine.language.node import Entry, MappingNode, Node, ScalarNode, SequenceNode
from engine.language.problem import Problem, Problems
from engine.language.scope import Shop
from engine.language.words import listing, nearest, normal_key, read_duration
from engine.runtime.alarms import Alarm, Failing, Hours, Notice, Silence
from engine.runtime.senders import (
    PREFIX,
    Basic,
    Hmac,
    Network,
    Senders,
    Signing,
    StandardWebhooks,
    standard_key,
)
from engine.store.address import secrets_of

Connections = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Settings of connections by kind and name."""

UNSET = "https://unset.invalid"
"""Stands for a variable that is missing where none is needed: it passes for a text and for an address."""

SHORTEST_SECRET = 16
"""Letters of a secret at least."""

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
LONGEST_FILE = 64 * 1024
"""Bytes of a file that a setting is read from, at most: a secret or a certificate is shorter."""

_HOURS = re.compile(r"\s*(\d{1,2}:\d{2})\s*(?:to|-|–)\s*(\d{1,2}:\d{2})\s*")
_VARIABLE = re.compile(r"\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|file:(?P<file>[^{}]+))\}")


class SettingsFaulty(Exception):
    """The settings cannot be used; `problems` say where and why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"{len(problems)} faults in the settings")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the service listens, and the proxies whose word about the sender's address counts."""

    host: str = "127.0.0.1"
    port: int = 8000
    behind_proxy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the settings file says. Paths are absolute; `secrets` are the receiver's, several at once, and
    `senders` what a request must show beside one of them.

    `connections` holds the secrets, `public` the same connections without them; `hidden` are all texts that
    must show up nowhere.
    """

    shop: Shop = field(default_factory=Shop)
    rules: Path = Path("rules")
    database: str = "sqlite:///shopbell.db"
    listen: Listen = field(default_factory=Listen)
    secrets: tuple[str, ...] = ()
    senders: Senders = field(default_factory=Senders)
    api: Mapping[str, str] = field(default_factory=dict)
    connections: Connections = field(default_factory=dict)
    public: Connections = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    allow: tuple[Network, ...] = ()
    keep_events: timedelta = timedelta(days=90)
    keep_deliveries: timedelta = timedelta(days=90)
    keep_repeats: timedelta = timedelta(days=7)
    keep_bodies: timedelta | None = None
    backups: Path | None = None
    keep_backups: int = 24
    least_free: int | None = None
    largest_body: int = 256_000
    alarms: tuple[Alarm, ...] = ()
    file: Path | None = None

    @property
    def guarded(self) -> bool:
        """Whether anybody can show that they may send."""
        return bool(self.secrets) or self.senders.verify

    def destinations(self) -> Destinations:
        """The connections that rules may name, without their secrets."""
        return Destinations(self.public, known=self.file is not None)


def read_settings(
    text: str | bytes,
    file: Path,
    environment: Mapping[str, str],
    actions: Mapping[str, Action],
    *,
    lenient: bool = False,
) -> Settings:
    """The settings of a file. Raises `SettingsFaulty` with every fault.

    `lenient` lets `${NAME}` be missing in the environment, for commands that need no secret.
    """
    problems = Problems(file.name)
    document = read_document(text, problems, example="shop: {name: …}")
    reader = _Reader(problems, environment, actions, file, lenient)
    settings = reader.settings(document) if document is not None else Settings()
    if problems.broken:
        raise SettingsFaulty([one for one in problems.sorted() if one.severity == "error"])
    return settings


def _unreadable(error: Exception) -> str:
    """Why a file cannot be read, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "is not there"
    if isinstance(error, IsADirectoryError):
        return "is a folder"
    if isinstance(error, PermissionError):
        return "may not be read by the user that Shopbell runs as"
    return "is not a text" if isinstance(error, UnicodeDecodeError) else "cannot be read"


class _Reader:
    """Reads the nodes of the settings file, section by section."""

    SECTIONS = (
        "shop",
        "rules",
        "database",
        "listen",
        "sources",
        "connections",
        "network",
        "retention",
        "backup",
        "limits",
        "alarms",
    )

    def __init__(
        self,
        problems: Problems,
        environment: Mapping[str, str],
        actions: Mapping[str, Action],
        file: Path,
        lenient: bool,
    ) -> None:
        self.problems = problems
        self.environment = environment
        self.actions = actions
        self.file = file
        self.lenient = lenient
        self.shown_by_senders: set[str] = set()

    def settings(self, document: MappingNode) -> Settings:
        found = self._keys(document, self.SECTIONS, "setting")
        home = self.file.parent
        chord = self._source(found.get("sources"))
        secrets, api = self._secrets(chord.get("secrets")), self._api(chord.get("api"))
        senders = self._senders(chord)
        connections = self._connections(found.get("connections"))
        return Settings(
            shop=self._shop(found.get("shop")),
            rules=home / self._scalar(found.get("rules"), "rules"),
            database=(database := self._database(found.get("database"), home)),
            listen=self._listen(found.get("listen")),
            secrets=secrets,
            senders=senders,
            api=api,
            connections=connections,
            public=self._public(connections),
            hidden=frozenset({*secrets, *self.shown_by_senders, api.get("token", "")})
            | self._hidden(connections)
            | secrets_of(database) - {""},
            allow=self._allow(found.get("network")),
            **self._retention(found.get("retention")),
            **self._backup(found.get("backup"), home),
            **self._limits(found.get("limits")),
            alarms=self._alarms(found.get("alarms"), Destinations(self._public(connections), known=True)),
            file=self.file,
        )

    def _public(self, connections: Connections) -> Connections:
        return {
            kind: {
                name: public_facts(self.actions[kind].connection_fields, facts)
                for name, facts in named.items()
            }
            for kind, named in connections.items()
        }

    def _hidden(self, connections: Connections) -> frozenset[str]:
        return frozenset(
            text
            for kind, named in connections.items()
            for facts in named.values()
            for text in self.actions[kind].secrets(facts)
        )

    # values

    def _keys(self, block: Node, known: tuple[str, ...], what: str) -> dict[str, Entry]:
        if not isinstance(block, MappingNode):
            if not (isinstance(block, ScalarNode) and block.empty):
                self.problems.error(block.mark, f"here {what}s are expected, each as `name: value`")
            return {}
        found: dict[str, Entry] = {}
        for entry in block:
            key = normal_key(entry.key.text).replace(" ", "_")
            if key in known:
                found[key] = entry
                continue
            near = next(iter(nearest(key, known)), None)
            mean = f". Did you mean `{near}`?" if near else f". There are {listing(known)}"
            self.problems.error(
                entry.key.mark, f'there is no {what} called "{entry.key.text}"{mean}', near or ""
            )
        return found

    def _scalar(self, entry: Entry | None, default: str) -> str:
        if entry is None:
            return default
        if isinstance(entry.value, ScalarNode) and not entry.value.empty:
            return self._expand(entry.value)
        self.problems.error(entry.key.mark, f"{entry.key.text} is empty or not a text")
        return default

    def _expand(self, node: ScalarNode) -> str:
        def value(match: re.Match[str]) -> str:
            if match["file"]:
                return self._from_file(match["file"].strip(), node, "")
            return self._from_environment(match["name"], node)

        return _VARIABLE.sub(value, node.text)

    def _from_environment(self, name: str, node: ScalarNode) -> str:
        """A variable, or what is in the file that the variable with `_FILE` behind its name leads to."""
        if name in self.environment:
            return self.environment[name]
        if f"{name}_FILE" in self.environment:
            return self._from_file(self.environment[f"{name}_FILE"], node, f" (of {name}_FILE)")
        if not self.lenient:
            message = f"the environment has no {name}, which is needed here"
            self.problems.error(
                node.mark, message, f"export {name}=…, or {name}_FILE with the path of a file"
            )
        return UNSET

    def _from_file(self, name: str, node: ScalarNode, why: str) -> str:
        """What a file holds, without the line break at its end; a relative path begins where the settings are."""
        path = self.file.parent / name
        told = ""
        try:
            with path.open("rb") as file:
                content = file.read(LONGEST_FILE + 1)
            text = content.decode().removesuffix("\n").removesuffix("\r")
        except (OSError, ValueError) as error:
            text, told = "", _unreadable(error)
        if not told and len(text) >= LONGEST_FILE:
            told = "is longer than any setting"
        if not told and not text.strip():
            told = "is empty"
        if not told:
            return text
        if not self.lenient:
            self.problems.error(node.mark, f"the file {path}{why} {told}, and its content is needed here")
        return UNSET

    def _texts(self, entry: Entry | None) -> tuple[str, ...]:
        if entry is None:
            return ()
        nodes = entry.value.items if isinstance(entry.value, SequenceNode) else (entry.value,)
        texts = []
        for node in nodes:
            if isinstance(node, ScalarNode):
                text = self._expand(node)
                if not node.text.strip():
                    self.problems.error(node.mark, f"{entry.key.text} has an empty entry")
                texts.append(text)
            else:
                self.problems.error(node.mark, f"{entry.key.text} takes a list of texts")
        return tuple(texts)

    # sections

    def _shop(self, entry: Entry | None) -> Shop:
        if entry is None:
            return Shop()
        found = self._keys(
            entry.value, ("name", "timezone", "currency", "locale", "holidays"), "fact of the shop"
        )
        zone = self._scalar(found.get("timezone"), "UTC")
        try:
            timezone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.problems.error(
                found["timezone"].value.mark, f'"{zone}" is not a time zone', "America/New_York"
            )
            timezone = ZoneInfo("UTC")
        return Shop(
            name=self._scalar(found.get("name"), Shop().name),
            timezone=timezone,
            currency=self._currency(found.get("currency")),
            locale=self._locale(found.get("locale")),
            holidays=self._holidays(found.get("holidays")),
        )

    def _holidays(self, entry: Entry | None) -> frozenset[date]:
        """The days that are no business days though they are none of a weekend."""
        if entry is None:
            return frozenset()
        nodes = entry.value.items if isinstance(entry.value, SequenceNode) else (entry.value,)
        days = [(node, read_day(node.text) if isinstance(node, ScalarNode) else None) for node in nodes]
        for node, day in days:
            if day is None:
                message = "holidays takes days, each written as year, month and day"
                self.problems.error(node.mark, message, "holidays: [2026-12-25, 2027-01-01]")
        return frozenset(day for _, day in days if day is not None)

    def _currency(self, entry: Entry | None) -> str:
        code = self._scalar(entry, "USD").upper()
        if entry is not None and not (len(code) == 3 and code.isascii() and code.isalpha()):
            self.problems.error(
                entry.value.mark, f'"{code}" is not a currency: write its three letters', "USD"
            )
        return code

    def _locale(self, entry: Entry | None) -> str:
        from babel import Locale, UnknownLocaleError

        text = self._scalar(entry, "en_US").replace("-", "_")
        try:
            Locale.parse(text)
        except (UnknownLocaleError, ValueError):
            if entry is not None:
                self.problems.error(
                    entry.value.mark, f'"{text}" is not a known language and country', "en_US"
                )
            return "en_US"
        return text

    def _database(self, entry: Entry | None, home: Path) -> str:
        url = self._scalar(entry, "sqlite:///shopbell.db")
        if url.startswith("sqlite:///"):
            return f"sqlite:///{home / url.removeprefix('sqlite:///')}"
        if entry is not None and not url.startswith(("postgresql://", "postgres://")):
            message = "the record is kept in SQLite, or in PostgreSQL (database: postgresql://user@host/name)"
            self.problems.error(entry.value.mark, message, "database: sqlite:///var/shopbell.db")
        return url

    def _listen(self, entry: Entry | None) -> Listen:
        if entry is None:
            return Listen()
        found = self._keys(entry.value, ("host", "port", "behind_proxy"), "setting of listen")
        port = self._scalar(found.get("port"), "8000")
        if not port.isdigit() or not 0 <= int(port) <= 65535:
            self.problems.error(
                found["port"].value.mark, f'"{port}" is not a port: write a number up to 65535'
            )
            port = "8000"
        return Listen(
            self._scalar(found.get("host"), "127.0.0.1"), int(port), self._texts(found.get("behind_proxy"))
        )

    def _source(self, entry: Entry | None) -> dict[str, Entry]:
        """What is said of the one source there is."""
        chord = self._keys(entry.value, ("chord",), "source").get("chord") if entry is not None else None
        known = ("secrets", "signing", "basic", "from", "api")
        return self._keys(chord.value, known, "setting of a source") if chord is not None else {}

    def _api(self, entry: Entry | None) -> Mapping[str, str]:
        found = self._keys(entry.value, ("url", "token"), "setting of the api") if entry is not None else {}
        return {name: self._scalar(one, "") for name, one in found.items()}

    def _secrets(self, entry: Entry | None) -> tuple[str, ...]:
        """Secrets that are long enough not to be guessed."""
        secrets = self._texts(entry)
        for secret in secrets:
            if entry is not None and len(secret.strip()) < SHORTEST_SECRET:
                what = "too short to be one" if secret.strip() else "empty"
                least = f"take at least {SHORTEST_SECRET} letters at random"
                self.problems.error(entry.value.mark, f"this secret is {what}: {least}")
        return secrets

    def _senders(self, source: Mapping[str, Entry]) -> Senders:
        """What a request must show beside a secret."""
        signing, basic = self._signing(source.get("signing")), self._basic(source.get("basic"))
        senders = Senders(signing, basic, self._ranges(source.get("from")))
        if senders.networks and not (senders.verify or "secrets" in source or self.problems.broken):
            message = "an address tells where a request comes from, not who sends it: anybody there could send events"
            self.problems.error(source["from"].key.mark, message, 'secrets: ["${CHORD_SECRET}"]')
        return senders

    def _signing(self, entry: Entry | None) -> Signing | None:
        if entry is None:
            return None
        known = ("kind", "secrets", "header", "prefix", "encoding")
        found = self._keys(entry.value, known, "setting of signing")
        kind = normal_key(self._scalar(found.get("kind"), ""))
        if kind not in ("standard webhooks", "hmac"):
            mark = found["kind"].value.mark if "kind" in found else entry.key.mark
            message = "say how requests are signed: `standard webhooks` or `hmac`"
            self.problems.error(mark, message, "kind: standard webhooks")
            return None
        if not self._texts(found.get("secrets")):
            message = "a signature cannot be verified without the secret that it is made with"
            self.problems.error(entry.key.mark, message, 'secrets: ["${CHORD_SIGNING}"]')
            return None
        return self._hmac(entry, found) if kind == "hmac" else self._standard(found)

    def _standard(self, found: Mapping[str, Entry]) -> Signing:
        for name in ("header", "prefix", "encoding"):
            if name in found:
                message = f"`{name}` is for `kind: hmac`; Standard Webhooks say it themselves. Leave it out"
                self.problems.error(found[name].key.mark, message)
        keys = []
        for secret in self._texts(found["secrets"]):
            key = standard_key(secret)
            if key is None and UNSET not in secret:
                message = "this is no secret of Standard Webhooks. Copy it whole, as the sender shows it"
                self.problems.error(found["secrets"].value.mark, f"{message}; it begins with {PREFIX}")
            keys.append(key or b"")
            self.shown_by_senders |= {secret, secret.removeprefix(PREFIX)}
        return StandardWebhooks(tuple(keys))

    def _hmac(self, entry: Entry, found: Mapping[str, Entry]) -> Signing:
        header = self._scalar(found.get("header"), "")
        if "header" not in found:
            message = "say in which header the signature comes"
            self.problems.error(entry.key.mark, message, "header: X-Signature")
        elif not _HEADER.fullmatch(header):
            message = f'"{header}" is not the name of a header'
            self.problems.error(found["header"].value.mark, message, "header: X-Signature")
        secrets = self._secrets(found["secrets"])
        self.shown_by_senders |= set(secrets)
        keys = tuple(secret.encode() for secret in secrets)
        prefix = self._scalar(found.get("prefix"), "").encode()
        return Hmac(header.lower().encode(), keys, prefix, self._encoding(found.get("encoding")))

    def _encoding(self, entry: Entry | None) -> Literal["hex", "base64"]:
        text = self._scalar(entry, "hex").lower()
        if entry is not None and text not in ("hex", "base64"):
            message = f'"{text}" is not how a signature is written: it is `hex` or `base64`'
            self.problems.error(entry.value.mark, message, "encoding: hex")
        return "base64" if text == "base64" else "hex"

    def _basic(self, entry: Entry | None) -> Basic | None:
        if entry is None:
            return None
        found = self._keys(entry.value, ("username", "password"), "setting of basic")
        for name in ("username", "password"):
            if name not in found:
                message = f"basic needs a {name}"
                self.problems.error(
                    entry.key.mark, message, 'basic: {username: oms, password: "${CHORD_PASSWORD}"}'
                )
        username = self._scalar(found.get("username"), "")
        if ":" in username:
            self.problems.error(
                found["username"].value.mark, "a user of basic cannot have a colon in its name"
            )
        passwords = self._secrets(found.get("password"))
        self.shown_by_senders |= set(passwords)
        return Basic(username, passwords)

    def _ranges(self, entry: Entry | None) -> tuple[Network, ...]:
        """Ranges of addresses, each a fault where it is none."""
        networks = []
        for text in self._texts(entry):
            try:
                networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                if entry is not None and text != UNSET:
                    message = f'"{text}" is not a range of addresses'
                    self.problems.error(entry.value.mark, message, "203.0.113.0/24")
        return tuple(networks)

    def _connections(self, entry: Entry | None) -> Connections:
        if entry is None:
            return {}
        kinds = {
            word.replace(" ", "_"): word for word, action in self.actions.items() if action.connection_fields
        }
        found = self._keys(entry.value, tuple(kinds), "kind of connection")
        return {kinds[kind]: self._kind(kinds[kind], one) for kind, one in found.items()}

    def _kind(self, kind: str, entry: Entry) -> Mapping[str, Mapping[str, Any]]:
        if not isinstance(entry.value, MappingNode):
            self.problems.error(entry.key.mark, f"name each {kind} connection", f"{kind}:\n  default: {{…}}")
            return {}
        return {one.key.text: self._connection(kind, one) for one in entry.value}

    def _connection(self, kind: str, entry: Entry) -> Mapping[str, Any]:
        what = f'the {kind} connection "{entry.key.text}"'
        if not isinstance(entry.value, MappingNode):
            self.problems.error(entry.key.mark, f"{what} has no settings")
            return {}
        action = self.actions[kind]
        values = read_fields(self._filled(entry.value), action.connection_fields, self.problems, what)
        action.check_connection(values, entry.key.mark, self.problems)
        return {} if self.problems.broken else fixed_values(values)

    def _filled(self, block: MappingNode) -> MappingNode:
        """The block with `${NAME}` replaced everywhere in it."""

        def fill(node: Node) -> Node:
            if isinstance(node, ScalarNode):
                return replace(node, text=self._expand(node))
            if isinstance(node, SequenceNode):
                return replace(node, items=tuple(fill(item) for item in node))
            return self._filled(node)

        return replace(block, entries=tuple(Entry(entry.key, fill(entry.value)) for entry in block))

    def _allow(self, entry: Entry | None) -> tuple[Network, ...]:
        known = ("allow",)
        found = self._keys(entry.value, known, "setting of the network") if entry is not None else {}
        return self._ranges(found.get("allow"))

    # alarms

    def _alarms(self, entry: Entry | None, destinations: Destinations) -> tuple[Alarm, ...]:
        """What is watched; two alarms of the same name would be one."""
        if entry is None:
            return ()
        nodes = entry.value.items if isinstance(entry.value, SequenceNode) else (entry.value,)
        alarms: dict[str, Alarm] = {}
        for node in nodes:
            alarm = self._alarm(node, destinations)
            if alarm is not None and alarms.setdefault(alarm.name, alarm) is not alarm:
                self.problems.error(node.mark, f"this alarm is there already: {alarm.name}")
        return tuple(alarms.values())

    def _alarm(self, node: Node, destinations: Destinations) -> Alarm | None:
        words = tuple(word for word, action in self.actions.items() if action.notice)
        known = ("no", "for", "during", "connection_fails_for", *words)
        found = self._keys(node, known, "setting of an alarm")
        notices = tuple(self._notice(word, one, destinations) for word, one in found.items() if word in words)
        if found and not notices:
            message = f"nobody is told of this alarm: say whom, by {listing(words, 'or')}"
            self.problems.error(node.mark, message, "slack: ops")
        if "connection_fails_for" in found:
            return self._failing(found, notices)
        if "no" in found:
            return self._silence(found, notices)
        message = "an alarm watches for events that stay away, or for a connection that fails"
        self.problems.error(node.mark, message, "no: order_completed, or connection fails for: 15 minutes")
        return None

    def _failing(self, found: Mapping[str, Entry], notices: tuple[Notice, ...]) -> Alarm | None:
        for word in ("no", "for", "during"):
            if word in found:
                message = f"`{word}` belongs to an alarm of its own, in a line that begins with a dash"
                self.problems.error(found[word].key.mark, message)
        length = self._length(found["connection_fails_for"])
        return Failing(length, notices) if length else None

    def _silence(self, found: Mapping[str, Entry], notices: tuple[Notice, ...]) -> Alarm | None:
        types = self._event_types(found["no"])
        if "for" not in found:
            message = "say how long no such event may come before the alarm is raised"
            self.problems.error(found["no"].key.mark, message, "for: 6 hours")
            return None
        length = self._length(found["for"])
        hours = self._hours(found["during"]) if "during" in found else None
        return Silence(types, length, notices, hours) if length else None

    def _event_types(self, entry: Entry) -> tuple[str, ...]:
        from engine.sources import found

        known = [name for source in found().values() for name in source.event_types]
        types = self._texts(entry)
        for type in types:
            if type not in known:
                near = next(iter(nearest(type, known)), "")
                mean = f"Did you mean `{near}`?" if near else f"There are {listing(known)}"
                self.problems.error(entry.value.mark, f'there is no event "{type}". {mean}', near)
        return types

    def _hours(self, entry: Entry) -> Hours | None:
        match = _HOURS.fullmatch(self._scalar(entry, ""))
        try:
            hours = [time(int(text[:-3]), int(text[-2:])) for text in match.groups()] if match else []
        except ValueError:
            hours = []
        if len(hours) != 2 or hours[0] == hours[1]:
            message = "these are not hours of the day"
            self.problems.error(entry.value.mark, message, "during: 08:00 to 22:00")
            return None
        return Hours(*hours)

    def _notice(self, word: str, entry: Entry, destinations: Destinations) -> Notice:
        """How an alarm is told: what is written says to whom, the rest is the alarm's."""
        action, mark = self.actions[word], entry.value.mark
        filled = self._filled(MappingNode((entry,), entry.key.mark)).entries[0].value
        parts = {"title": "{{ alarm.title }}", "text": "{{ alarm.text }}"}
        block = MappingNode(
            tuple(
                Entry(
                    ScalarNode(name, entry.key.mark),
                    filled if part == "to" else ScalarNode(parts[part], mark, "double"),
                )
                for name, part in action.notice.items()
            ),
            mark,
        )
        values = read_fields(block, action.fields, self.problems, word)
        action.check(values, entry.key.mark, self.problems, destinations)
        return Notice(word, values)

    def _retention(self, entry: Entry | None) -> dict[str, Any]:
        if entry is None:
            return {}
        found = self._keys(entry.value, ("events", "deliveries", "bodies", "repeats"), "retention")
        lengths = {f"keep_{name}": self._length(one) for name, one in found.items()}
        return {name: length for name, length in lengths.items() if length is not None}

    def _length(self, entry: Entry) -> timedelta | None:
        length = read_duration(self._scalar(entry, ""))
        if length is None:
            self.problems.error(
                entry.value.mark, "this is not a length of time", f"{entry.key.text}: 90 days"
            )
        return length

    def _backup(self, entry: Entry | None, home: Path) -> dict[str, Any]:
        if entry is None:
            return {}
        found = self._keys(entry.value, ("folder", "keep"), "setting of backup")
        folder = self._scalar(found.get("folder"), "backups")
        keep = self._scalar(found.get("keep"), "24")
        if not keep.isdigit() or int(keep) < 1:
            mark = found["keep"].value.mark
            self.problems.error(mark, "backup.keep is a number of copies, one an hour", "keep: 24")
            return {}
        return {"backups": home / folder, "keep_backups": int(keep)}

    def _limits(self, entry: Entry | None) -> dict[str, Any]:
        if entry is None:
            return {}
        found = self._keys(entry.value, ("body", "free_disk"), "limit")
        limits = {"largest_body": self._bytes(found.get("body"), "body", 1_000)}
        if "free_disk" in found:
            limits["least_free"] = self._bytes(found["free_disk"], "free_disk", 0)
        return {name: number for name, number in limits.items() if number is not None}

    def _bytes(self, entry: Entry | None, name: str, least: int) -> int | None:
        text = self._scalar(entry, "256000")
        if text.isdigit() and int(text) >= least:
            return int(text)
        if entry is not None:
            message = f"limits.{name} is a number of bytes, at least {least}"
            self.problems.error(entry.value.mark, message, f"{name}: {max(least, 256_000)}")
        return None
