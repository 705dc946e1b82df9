"""How HTTP answers are judged: what is worth another try, when, and what the other side said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

from engine.actions.base import DeliveryError, FailureKind, HttpAnswer
from engine.language.plain import cut, one_line, printable

EXCERPT = 2_000
"""So many characters of an answer are kept."""

SAID = 200
"""So many of them are quoted in a sentence."""

WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
"""Refusals that are about the moment, not about the call; every 5xx is worth another try, too."""


def excerpt(body: bytes) -> str:
    """The start of an answer as people can read it."""
    return cut(printable(body.decode("utf-8", "replace")).strip(), EXCERPT)


def said(body: bytes) -> str:
    """The answer in quotes, cut to one short line, with a blank before it; empty where nothing was said."""
    text = cut(one_line(excerpt(body)), SAID)
    return f' "{text}"' if text else ""


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """How many seconds the other side asks to wait; None where it does not, or says nothing usable.

    The header holds seconds or a date. What is past, negative or no time at all does not count.
    """
    text = headers.get("retry-after", "").strip()
    seconds = _seconds(text)
    if seconds is None:
        seconds = _until(text, now)
    return seconds if seconds is not None and isfinite(seconds) and seconds > 0 else None


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - now).total_seconds()


def refusal(who: str, answer: HttpAnswer, now: datetime) -> DeliveryError:
    """What an answer that is no success means. `who` names the other side in the sentence."""
    wait = retry_after(answer.headers, now)
    kind = _kind(answer.status, wait)
    status = str(answer.status)
    message = f"{who} answered {status}{said(answer.body)}. {_ADVICE[kind]}"
    if 300 <= answer.status < 400:
        message = f"{who} redirected to {_elsewhere(answer)}, which is not followed. Write the right address"
    return DeliveryError(message, kind, status=status, detail=excerpt(answer.body), retry_after=wait)


_ADVICE: Mapping[FailureKind, str] = {
    "permanent": "Trying again will not help; look at what was sent",
    "temporary": "It will be tried again",
    "setup": "It does not accept our access data; check the connection in shopbell.yaml",
    "unsure": "It may have arrived",
}


def _kind(status: int, wait: float | None) -> FailureKind:
    if status in (401, 403, 407):
        return "setup"
    # 409 is mostly "this exists already"; only with a time to wait does it mean "still at work on it".
    if status in WORTH_ANOTHER_TRY or status >= 500 or (status == 409 and wait is not None):
        return "temporary"
    return "permanent"


def _elsewhere(answer: HttpAnswer) -> str:
    """Where a redirect points, without its query, which can hold a secret."""
    place = one_line(printable(answer.headers.get("location", ""))).partition("?")[0].partition("#")[0]
    return cut(place, SAID) or "another address"
