"""A message to a Slack channel: values cannot format, mention or alert, and it is cut to what Slack takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import msgspec
import re2

from engine.actions.answers import excerpt, refusal
from engine.actions.base import (
    COMMON_FIELDS,
    PACE,
    Action,
    DeliveryError,
    Destinations,
    FailureKind,
    HttpAnswer,
    Note,
    OnGap,
    Receipt,
    Rendered,
    Services,
    chosen,
    gap_line,
)
from engine.language.fields import Connection, Field, FieldValue, Named, Text, WebAddress, Word
from engine.language.kept_together import KeptTogether
from engine.language.plain import cut, printable, units, whole_characters
from engine.language.problem import Mark, Problems
from engine.language.scope import Scope
from engine.language.structure import Structure
from engine.language.template import Target
from engine.language.words import nearest
from engine.model import Gap

TEXT_LIMIT = 3_000
"""Slack takes so much in one text of a block; a message's own text is held to the same."""

FIELD_LIMIT = 2_000
FIELDS_LIMIT = 10
BLOCKS_LIMIT = 50
HEADER_LIMIT = 150
ELEMENTS_LIMIT: Mapping[str, int] = {"context": 10, "actions": 25}
LABEL_LIMIT = 75
"""So much fits on a button."""

_LONG_LINE = 300
"""Of a longer line the start is kept, where there is room for it; a shorter one goes as a whole."""

_WORTH_SHOWING = 20

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LOOKALIKES = {"*": "∗", "_": "ˍ", "~": "∼"}
_BACKTICK = "ˋ"
_WORD_JOINER = "\u2060"
_WHOLE = re2.compile(r"&(?:amp|lt|gt);|<[^<>\n]*>")
_encode = msgspec.json.Encoder(decimal_format="number").encode


def escape(value: str) -> str:
    """A value as Slack shows it literally: it alerts nobody, links nowhere, and formats nothing around it.

    `& < >` are encoded. Signs that could begin or end a format are replaced by letters that look the same;
    inside a word (`Mug_large`, `5*3`) they mean nothing to Slack and stay.
    """
    text = printable(value)
    if not text.isalnum():
        text = "".join(_quiet(text)).translate(_TABLE)
    return text


_TABLE = str.maketrans(_ENTITIES)


def _quiet(text: str) -> Iterator[str]:
    before = ""
    for letter, after in zip(text, text[1:] + "\n", strict=False):
        if letter in _LOOKALIKES and not (before.isalnum() and after.isalnum()):
            yield _LOOKALIKES[letter]
        elif letter == "`":
            yield _BACKTICK
        elif letter == ">" and before in ("", "\n"):
            yield _WORD_JOINER + letter
        else:
            yield letter
        before = letter


def link(address: str, label: str) -> str:
    """A link with its label as Slack writes it."""
    target = "".join(_ENTITIES.get(letter, "%7C" if letter == "|" else letter) for letter in address)
    return f"<{target}|{escape(label)}>"


SLACK = Target("Slack", escape, link)
"""Values made safe for a text of a Slack message."""


def fit(text: str, limit: int = TEXT_LIMIT) -> str:
    """A message text within Slack's limit: of several lines the first that fit, of one line its start."""
    text = text.strip("\n")
    if units(text) <= limit:
        return text
    lines = text.split("\n")
    if len(lines) == 1:
        return cut(text, limit, _pieces)
    kept: list[str] = []
    room = limit - units(_more(len(lines)))
    for line in lines:
        if units(line) + 1 > room:
            break
        kept.append(line)
        room -= units(line) + 1
    left_out = len(lines) - len(kept)
    if room > _WORTH_SHOWING and (not kept or units(lines[len(kept)]) > _LONG_LINE):
        kept.append(cut(lines[len(kept)], room - 1, _pieces))
        left_out -= 1
    return "\n".join([*kept, _more(left_out)] if left_out else kept)


def _more(number: int) -> str:
    return f"…and {number} more"


def _pieces(text: str) -> Iterator[str]:
    """Whole characters, with an entity or a link as one."""
    place = 0
    for match in _WHOLE.finditer(text):
        yield from whole_characters(text[place : match.start()])
        yield match[0]
        place = match.end()
    yield from whole_characters(text[place:])


class Slack(Action):
    """Posts a message to a Slack channel, through a connection of the settings file.

    Values from the event are shown literally: they cannot format the message, mention people or alert a channel.
    A message with a gap goes out with [?] in the place. Slack knows no idempotency key: after a crash at the
    wrong moment a message can appear twice. With `thread per` all messages about one order, for example, stand
    under the first of them in the channel, whichever rule wrote it.
    """

    fields: ClassVar[tuple[Field, ...]] = (
        Connection(
            "channel",
            "Where the message goes: the name of a Slack connection, or a channel that the app of the connection "
            "`default` may post to. Left out, the connection `default`.",
            example="big-orders",
        ),
        Connection(
            "webhook",
            "The name of a Slack connection with a webhook; the same as `channel`, for those who think in webhooks.",
            example="big-orders",
        ),
        Text(
            "text",
            "The message, in Slack's own format: *bold*, _italic_, `code`, :emoji:. With `blocks` it is what "
            "notifications show.",
            example='"{{ order.number }}: {{ order.total | money }}"',
            lines="many",
        ),
        Structure(
            "blocks",
            "Slack's building blocks as a list, for messages with sections, fields and buttons.",
            example='[{type: section, text: {type: mrkdwn, text: "*{{ order.number }}*"}}]',
            texts=True,
            bare=frozenset({"url", "image_url", "value", "action_id", "block_id", "type"}),
        ),
        KeptTogether(
            "thread per",
            "Keeps the messages about one thing in one thread: the first one starts it, later ones answer there. "
            "It needs a connection with a token.",
            example="order.number",
        ),
        *COMMON_FIELDS,
    )
    connection_fields: ClassVar[tuple[Field, ...]] = (
        WebAddress(
            "webhook",
            "The address of an incoming webhook. It is a secret: whoever knows it can post.",
            example='"${SLACK_WEBHOOK}"',
            secret=True,
        ),
        Word(
            "token",
            "The token of a Slack app with the scope chat:write (xoxb-…); with it rules can choose the channel.",
            example='"${SLACK_TOKEN}"',
            secret=True,
        ),
        Word(
            "channel",
            "With a token: the channel that this connection posts to; left out, the channel of its own name.",
            example="C0123456789",
        ),
        WebAddress(
            "api",
            "The address of Slack's API, for workspaces that live elsewhere.",
            default="https://slack.com/api",
            example="https://slack-gov.com/api",
        ),
        replace(
            PACE,
            help="How many messages a time each channel may get; left out, the one a second that Slack allows.",
            default={"count": 1, "per": 1},
            example="1 per second",
        ),
    )
    on_gap: ClassVar[OnGap] = "send"
    notice: ClassVar[Mapping[str, str]] = {"channel": "to", "text": "text"}
    example: ClassVar[str] = (
        "slack:\n"
        "  channel: big-orders\n"
        '  text: ":moneybag: *{{ order.number }}* for {{ order.total | money }}"\n'
    )

    def check(
        self, values: Mapping[str, FieldValue], mark: Mark, problems: Problems, destinations: Destinations
    ) -> None:
        """A message needs a text or blocks, and a destination that the settings know."""
        if "text" not in values and "blocks" not in values:
            problems.error(mark, "slack has nothing to say: it needs `text` or `blocks`", 'text: "…"')
        if "channel" in values and "webhook" in values:
            problems.error(values["webhook"].mark, "slack takes `channel` or `webhook`, not both")
        if isinstance(values.get("blocks"), Named):
            problems.error(
                values["blocks"].mark, "blocks is a list: begin each block with a dash", "- type: section"
            )
        if destinations.known:
            self._check_channel(values, mark, problems, destinations.of("slack"))

    def _check_channel(
        self,
        values: Mapping[str, FieldValue],
        mark: Mark,
        problems: Problems,
        known: Mapping[str, Mapping[str, Any]],
    ) -> None:
        name = _destination(values)
        place = next((values[field].mark for field in ("channel", "webhook") if field in values), mark)
        facts = known.get(name, known.get("default", {}))
        if "thread per" in values and facts and not facts.get("token"):
            message = (
                "a thread needs a connection with a token: through an incoming webhook nobody learns which message to "
                "answer. Leave the line out, or give the connection a token in shopbell.yaml"
            )
            problems.error(values["thread per"].mark, message, 'token: "${SLACK_TOKEN}"')
        if name == "default" and facts.get("token") and not facts.get("channel"):
            message = "slack needs a channel: the connection default can post to any, so say which"
            problems.error(place, message, "channel: big-orders")
        if name in known:
            return
        near = next(iter(nearest(name, known)), None)
        told = f'no Slack connection or channel rule covers "{name}"'
        if facts.get("token"):
            if near:
                message = (
                    f'no Slack connection is called "{name}", so it is taken for a channel. Nearest: {near}'
                )
                problems.warning(place, message, f"channel: {near}")
        elif near:
            problems.error(place, f"{told}. Nearest: {near}", f"channel: {near}")
        elif "webhook" in facts:
            message = (
                f"{told}, so the message goes to the one channel of the webhook `default`. A connection with a token "
                "can choose the channel"
            )
            problems.warning(place, message)
        else:
            message = (
                f"{told}. Write it into shopbell.yaml under `connections`, `slack`, or give the connection default a "
                "token, with which a message can go to any channel"
            )
            problems.error(place, message)

    def check_connection(self, settings: Mapping[str, FieldValue], mark: Mark, problems: Problems) -> None:
        """A connection has either a webhook or a token."""
        if ("webhook" in settings) == ("token" in settings):
            problems.error(
                mark, "a Slack connection has either `webhook` or `token`", 'webhook: "${SLACK_WEBHOOK}"'
            )

    def render(
        self, values: Mapping[str, FieldValue], scope: Scope, destinations: Destinations
    ) -> tuple[Rendered, ...]:
        """One message, cut to what Slack takes."""
        text, gaps = _filled(values, "text", scope)
        blocks, more = _filled(values, "blocks", scope)
        gaps += more
        thread, more = _filled(values, "thread per", scope)
        gaps += more
        told = gap_line(gaps) if self.on_gap_for(values) == "send" else ""
        note = "\n".join(filter(None, (scope.footnote, told)))
        request = {**_address(_destination(values), destinations), **_message(text or "", blocks, note)}
        request |= {**({"thread": thread} if thread else {}), **self.carried(values)}
        empty = not request["text"].strip() and not request.get("blocks")
        if empty and not gaps:
            gaps = (Gap(values["text"].mark.line if "text" in values else 1, "text", "the message is empty"),)
        return (Rendered(request, f"#{_shown(request)}", gaps, blocked=empty),)

    def lane(self, request: Mapping[str, Any]) -> str:
        """Its connection and its channel: Slack counts the messages of each channel."""
        connection, channel = super().lane(request), request.get("channel")
        return f"{connection}#{channel}" if channel and channel != connection else connection

    async def deliver(self, request: Mapping[str, Any], key: str, services: Services) -> Receipt:
        """Post by webhook or by token, as the connection has it; into its thread, where it has one."""
        connection = services.connection("slack", request["connection"])
        body = {name: request[name] for name in ("text", "blocks") if name in request}
        body |= {"unfurl_links": False, "unfurl_media": False}
        if not connection.get("token"):
            return _receipt(await _post(connection["webhook"], body, request, services), request, services)
        body["channel"] = request["channel"]
        if "thread" not in request:
            return _receipt(await _by_token(connection, body, request, services), request, services)
        async with services.note(_thread_name(request)) as note:
            return await _in_thread(note, connection, body, request, services)

    def connection_of(self, values: Mapping[str, FieldValue], destinations: Destinations) -> str:
        """The connection of the name, or the default one for a channel that has none."""
        return _address(_destination(values), destinations)["connection"]

    async def try_connection(self, name: str, services: Services) -> str:
        """Ask Slack whether it knows the token, or refuse itself an empty message; nothing is posted."""
        connection = services.connection("slack", name)
        request = {"connection": name, "channel": connection.get("channel", name)}
        if connection.get("token"):
            return await _token_tried(connection, request, services)
        answer = await _post(connection["webhook"], {}, request, services)
        if _word(answer) in _EMPTY_REFUSED:
            return "Slack knows the webhook: it refused an empty message, as it should. Nothing was posted"
        _receipt(answer, request, services)
        return "the webhook answers ok even to an empty message, so it is not Slack's own; look whether one was posted"


async def _post(
    url: str, body: Mapping[str, Any], request: Mapping[str, Any], services: Services, token: str = ""
) -> HttpAnswer:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    timeout = request.get("timeout", 15)
    return await services.http("POST", url, headers=headers, content=_encode(body), timeout=timeout)


async def _by_token(
    connection: Mapping[str, Any], body: Mapping[str, Any], request: Mapping[str, Any], services: Services
) -> HttpAnswer:
    url = f"{connection['api'].rstrip('/')}/chat.postMessage"
    return await _post(url, body, request, services, connection["token"])


def _thread_name(request: Mapping[str, Any]) -> str:
    return f"slack thread {request['connection']} {request['channel']} {request['thread']}"


async def _in_thread(
    note: Note,
    connection: Mapping[str, Any],
    body: Mapping[str, Any],
    request: Mapping[str, Any],
    services: Services,
) -> Receipt:
    """Answer the message that started the thread, or start it; one whose start is gone is started anew."""
    if note.text:
        answer = await _by_token(connection, {**body, "thread_ts": note.text}, request, services)
        if _word(answer) not in _START_GONE:
            return _receipt(answer, request, services)
    answer = await _by_token(connection, body, request, services)
    receipt = _receipt(answer, request, services)
    started = _STARTED.search(answer.body.decode("utf-8", "replace"))
    if started:
        await note.keep(started[1])
    return receipt


async def _token_tried(connection: Mapping[str, Any], request: Mapping[str, Any], services: Services) -> str:
    url = f"{connection['api'].rstrip('/')}/auth.test"
    answer = await _post(url, {}, request, services, connection["token"])
    _receipt(answer, request, services)
    told = msgspec.json.decode(answer.body)
    scopes = [scope.strip() for scope in answer.headers.get("x-oauth-scopes", "chat:write").split(",")]
    if "chat:write" not in scopes:
        raise DeliveryError(f"Slack knows the token, but {_REMEDIES['missing_scope'][1]}", "setup")
    who = printable(f"{told.get('user', 'the app')} in {told.get('team', 'its workspace')}")
    return f"Slack knows the token: {who}. Whether the app is in a channel only a message shows"


def _destination(values: Mapping[str, FieldValue]) -> str:
    name = chosen(values, "channel") or chosen(values, "webhook") or "default"
    return str(name).removeprefix("#")


def _filled(values: Mapping[str, FieldValue], name: str, scope: Scope) -> tuple[Any, tuple[Gap, ...]]:
    value = values.get(name)
    return value.render(scope, SLACK) if value else (None, ())


def _address(name: str, destinations: Destinations) -> dict[str, str]:
    """The connection and the channel that a name means."""
    known = destinations.of("slack")
    if name in known or not destinations.known:
        own = "" if name == "default" else name
        return {"connection": name, "channel": str(known.get(name, {}).get("channel", own))}
    return {"connection": "default", "channel": name}


def _shown(request: Mapping[str, Any]) -> str:
    return str(request["channel"] or request["connection"])


def _message(text: str, blocks: Any, note: str) -> dict[str, Any]:
    if blocks is None:
        return {"text": _with_note(text, note)}
    fitted = fit_blocks(blocks if isinstance(blocks, list) else [blocks], note)
    return {"text": fit(text) or first_text(fitted), "blocks": fitted}


def _with_note(text: str, note: str) -> str:
    if not note:
        return fit(text)
    line = cut(note.translate(_TABLE), 300, _pieces)
    return f"{fit(text, TEXT_LIMIT - units(line) - 1)}\n{line}"


def first_text(blocks: list[Any]) -> str:
    """The first text in the blocks, for notifications, which show no blocks."""
    for block in blocks:
        text = block.get("text") if isinstance(block, dict) else None
        if isinstance(text, dict) and text.get("text"):
            return str(text["text"])
    return ""


def fit_blocks(blocks: list[Any], note: str = "") -> list[Any]:
    """The blocks within Slack's limits; where some are left out, the last one says how many."""
    flat = [one for block in blocks for one in (block if isinstance(block, list) else [block])]
    flat = [part for block in flat for part in (block, *_left_out(block))]
    room = BLOCKS_LIMIT - (1 if note else 0)
    fitted = [_fit_block(block) for block in _shortened(flat, room, _remark)]
    return [*fitted, _remark(note.translate(_TABLE))] if note else fitted


def _shortened(items: list[Any], limit: int, remark: Callable[[str], Any]) -> list[Any]:
    if len(items) <= limit:
        return items
    return [*items[: limit - 1], remark(_more(len(items) - limit + 1))]


def _remark(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [_mrkdwn(text)]}


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def _fit_block(block: Any) -> Any:
    if not isinstance(block, dict):
        return {"type": "section", "text": _mrkdwn(fit(str(block)))}
    block = dict(block)
    limit = HEADER_LIMIT if block.get("type") == "header" else TEXT_LIMIT
    if "text" in block:
        block["text"] = _fit_text(block["text"], limit)
    if isinstance(block.get("fields"), list):
        fields = _shortened(block["fields"], FIELDS_LIMIT, _mrkdwn)
        block["fields"] = [_fit_text(field, FIELD_LIMIT) for field in fields]
    if isinstance(block.get("elements"), list):
        block["elements"] = _fit_elements(block["elements"], str(block.get("type")))
    if isinstance(block.get("accessory"), dict):
        block["accessory"] = _fit_element(block["accessory"])
    return block


def _left_out(block: Any) -> list[Any]:
    """A line that says how many buttons there is no room for; it stands below them."""
    if not isinstance(block, dict) or block.get("type") != "actions":
        return []
    elements = block.get("elements")
    number = len(elements) - ELEMENTS_LIMIT["actions"] if isinstance(elements, list) else 0
    return [_remark(_more(number))] if number > 0 else []


def _fit_elements(elements: list[Any], block: str) -> list[Any]:
    limit = ELEMENTS_LIMIT.get(block, len(elements))
    fitted = _shortened(elements, limit, _mrkdwn) if block == "context" else elements[:limit]
    return [_fit_element(element) for element in fitted]


def _fit_element(element: Any) -> Any:
    if not isinstance(element, dict) or "text" not in element:
        return element
    if isinstance(element["text"], dict):
        return {**element, "text": _fit_text(element["text"], LABEL_LIMIT)}
    return {**element, "text": fit(str(element["text"]))}


def _fit_text(text: Any, limit: int) -> Any:
    """A text of a block within the limit; one written without its type is Slack's own format."""
    if isinstance(text, dict):
        return {**text, "text": fit(str(text.get("text") or ""), limit)}
    return _mrkdwn(fit("" if text is None else str(text), limit))


_TOLD: tuple[tuple[str, FailureKind, str], ...] = (
    ("not_in_channel", "setup", "the app is not in channel #{channel}. Invite it there with /invite"),
    (
        "channel_not_found",
        "setup",
        "there is no channel #{channel} that the app can see. Check the name; a private channel must invite it",
    ),
    ("is_archived channel_is_archived", "setup", "channel #{channel} is archived. Choose another one"),
    (
        "action_prohibited restricted_action restricted_action_read_only_channel posting_to_general_channel_denied "
        "restricted_action_thread_only_channel",
        "setup",
        "the workspace does not let the app post in channel #{channel}. An owner of the workspace can allow it",
    ),
    (
        "invalid_auth not_authed account_inactive token_revoked token_expired invalid_token",
        "setup",
        "it no longer accepts the token of connection {connection}. Put a new one into shopbell.yaml",
    ),
    (
        "no_service no_service_id no_active_hooks no_team team_disabled",
        "setup",
        "the webhook of connection {connection} no longer exists. Put a new one into shopbell.yaml",
    ),
    (
        "missing_scope",
        "setup",
        "the app may not post yet. Give it the scope chat:write and install it again",
    ),
    ("no_text", "permanent", "the message has no text"),
    ("msg_too_long msg_blocks_too_long", "permanent", "the message is too long"),
    (
        "invalid_payload invalid_blocks invalid_blocks_format invalid_arguments",
        "permanent",
        "it does not understand the message. Check the blocks that were sent",
    ),
    (
        "ratelimited rate_limited message_limit_exceeded internal_error fatal_error service_unavailable "
        "request_timeout rollup_error",
        "temporary",
        "it is busy. It will be tried again",
    ),
)
_REMEDIES = {word: (kind, sentence) for words, kind, sentence in _TOLD for word in words.split()}
"""What Slack's words mean and what to do about them."""


_EMPTY_REFUSED = frozenset({"no_text", "invalid_payload", "missing_text_or_fallback_or_attachments"})
_START_GONE = frozenset(
    {"thread_not_found", "message_not_found", "invalid_thread_ts", "cannot_reply_to_message"}
)
_STARTED = re2.compile(r'"ts" *: *"([0-9]+\.[0-9]+)"')
"""The first time stamp of an answer is that of the message; it is found so because a long answer is cut."""

_UNKNOWN_WORD: tuple[FailureKind, str] = ("permanent", "it did not answer ok")


def _receipt(answer: HttpAnswer, request: Mapping[str, Any], services: Services) -> Receipt:
    word = _word(answer)
    if 200 <= answer.status < 300 and word == "ok":
        return Receipt(str(answer.status), "ok")
    general = refusal("Slack", answer, services.now())
    if answer.status >= 300 and word not in _REMEDIES:
        raise general
    kind, sentence = _REMEDIES.get(word, _UNKNOWN_WORD)
    told = sentence.format(channel=_shown(request), connection=request["connection"])
    if answer.status == 429 or answer.status >= 500:
        kind = "temporary"
    raise DeliveryError(
        f"Slack refused the message: {told}",
        kind,
        status=str(answer.status),
        detail=general.detail,
        retry_after=general.retry_after,
    )


def _word(answer: HttpAnswer) -> str:
    """Slack's own word: `ok`, or what is wrong. A webhook answers with the word, the API with JSON around it."""
    text = excerpt(answer.body)
    if not text.startswith("{"):
        return text
    try:
        told = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:  # it can be cut: the API repeats the whole message behind its ok
        return "ok" if text.startswith('{"ok":true') else text
    return "ok" if told.get("ok") is True else str(told.get("error", text))
