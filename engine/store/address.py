"""The address of a database: what kind it names, and how it is shown without its secret."""

from __future__ import annotations

import re

POSTGRES = ("postgresql://", "postgres://")
"""How the address of a PostgreSQL database begins."""

_SECRETS = (re.compile(r"(?<=://)([^:/?#@]*):[^/?#]*(?=@)"), re.compile(r"([?&]password=)[^&]*"))


def is_postgres(url: str) -> bool:
    """Whether an address names a PostgreSQL database."""
    return url.startswith(POSTGRES)


def shown(url: str) -> str:
    """The address as people may see it: with its user, without the password."""
    for secret in _SECRETS:
        url = secret.sub(lambda found: found[1] + ("…" if found[1].endswith("=") else ":…"), url)
    return url


def secrets_of(url: str) -> frozenset[str]:
    """The secret parts of an address, as they are written there and as they are meant."""
    from urllib.parse import unquote

    found = re.findall(r"://[^:/?#@]*:([^/?#]*)@|[?&]password=([^&]*)", url)
    written = {text for pair in found for text in pair if text}
    return frozenset(written | {unquote(text) for text in written})
