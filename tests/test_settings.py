"""The settings file: what it may say, and what it says of its faults."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from engine import actions
from engine.runtime.senders import Basic, Hmac, Senders, StandardWebhooks
from engine.settings import Settings, SettingsFaulty, read_settings

WHOLE = """
shop: {name: Corner shop, timezone: America/New_York, currency: USD, locale: en_US}
rules: rules
database: sqlite:///var/shopbell.db
listen: {host: 0.0.0.0, port: 8080, behind_proxy: [10.0.0.1]}
sources:
  chord:
    secrets: ["${CHORD_SECRET}", "${OLD_SECRET}"]
    api: {url: https://oms.example.com, token: "${CHORD_TOKEN}"}
connections:
  slack:
    default: {token: "${SLACK_TOKEN}"}
    big-orders: {webhook: "https://hooks.example.com/T0/B0/xyz"}
  email:
    default: {host: smtp.example.com, port: 587, security: starttls, username: u, password: "${SMTP_PASSWORD}", from: "Shop <care@example.com>"}
  http:
    erp: {base_url: https://erp.example.com, headers: {Authorization: "Bearer ${ERP_TOKEN}"}}
network:
  allow: [127.0.0.0/8]
retention: {events: 90 days, deliveries: 90 days, repeats: 14 days}
limits: {body: 512000}
"""
ENVIRONMENT = {
    "CHORD_SECRET": "a" * 32,
    "OLD_SECRET": "b" * 32,
    "CHORD_TOKEN": "oms-token-1",
    "SLACK_TOKEN": "xoxb-1",
    "SMTP_PASSWORD": "hunter2",
    "ERP_TOKEN": "erp-1",
}


def _read(text: str, environment: Mapping[str, str] = ENVIRONMENT, *, lenient: bool = False) -> Settings:
    return read_settings(text, Path("/shop/shopbell.yaml"), environment, actions.found(), lenient=lenient)


def _faults(text: str, environment: Mapping[str, str] = ENVIRONMENT) -> list[tuple[int, str]]:
    with pytest.raises(SettingsFaulty) as caught:
        _read(text, environment)
    return [(problem.line, problem.message) for problem in caught.value.problems]


def test_everything_of_the_example_is_understood() -> None:
    settings = _read(WHOLE)
    assert (settings.shop.name, str(settings.shop.timezone), settings.shop.currency) == (
        "Corner shop", "America/New_York", "USD",
    )  # fmt: skip
    assert settings.rules == Path("/shop/rules")
    assert settings.database == "sqlite:////shop/var/shopbell.db"
    assert (settings.listen.host, settings.listen.port, settings.listen.behind_proxy) == (
        "0.0.0.0",
        8080,
        ("10.0.0.1",),
    )
    assert settings.secrets == ("a" * 32, "b" * 32)
    assert settings.api == {"url": "https://oms.example.com", "token": "oms-token-1"}
    assert settings.connections["http"]["erp"]["headers"] == {"Authorization": "Bearer erp-1"}
    assert settings.connections["email"]["default"]["port"] == 587
    assert settings.allow == (ip_network("127.0.0.0/8"),)
    assert settings.keep_repeats == timedelta(days=14)
    assert settings.largest_body == 512_000


def test_what_rules_may_know_of_a_connection_holds_no_secret() -> None:
    settings = _read(WHOLE)
    shown = repr(settings.destinations())
    assert settings.destinations().known
    assert "big-orders" in shown
    for secret in ("xoxb-1", "hunter2", "erp-1", "/T0/B0/xyz"):
        assert secret not in shown
        assert any(secret in hidden for hidden in settings.hidden)


def test_the_environment_is_read_only_where_it_is_asked_for() -> None:
    settings = _read('shop: {name: "$CHORD_SECRET ${CHORD_TOKEN} {{ x }} ~"}')
    assert settings.shop.name == "$CHORD_SECRET oms-token-1 {{ x }} ~"


def test_a_variable_that_is_missing_is_named_with_its_line() -> None:
    [(line, message)] = _faults('shop: {name: x}\nsources:\n  chord:\n    secrets: ["${NOT_THERE}"]\n')[:1]
    assert line == 4
    assert "NOT_THERE" in message


def test_commands_that_need_no_secret_do_without_the_environment() -> None:
    settings = _read(WHOLE, {}, lenient=True)
    assert set(settings.connections["slack"]) == {"default", "big-orders"}


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("shop:\n  timezone: Amerika/New_York\n", 2, "not a time zone"),
        ("shop:\n  curency: USD\n", 2, "Did you mean `currency`"),
        ("shop:\n  currency: dollars\n", 2, "three letters"),
        ("shop:\n  locale: klingon_XX\n", 2, "not a known language"),
        ("conections: {}\n", 1, "Did you mean `connections`"),
        ("listen:\n  port: eighty\n", 2, "not a port"),
        ("network:\n  allow: [127.0.0.1/99]\n", 2, "not a range of addresses"),
        ("retention:\n  events: a while\n", 2, "not a length of time"),
        ("sources:\n  chord:\n    secrets: [short]\n", 3, "too short"),
        ("connections:\n  slak:\n    default: {}\n", 2, "Did you mean `slack`"),
        ("connections:\n  http:\n    erp: {url: https://x.example}\n", 3, "base_url"),
        ("database: mysql://localhost\n", 1, "SQLite"),
        (
            "connections:\n  slack:\n    ops: {webhook: 'https://a.example/x', token: t}\n",
            3,
            "either `webhook` or `token`",
        ),
        ("shop: {name: x}\nshop: {name: y}\n", 2, "already on line 1"),
    ],
)
def test_a_fault_is_told_on_its_line_with_a_remedy(text: str, line: int, told: str) -> None:
    faults = _faults(text)
    assert any(at == line and told in message for at, message in faults), faults


def test_all_faults_are_told_at_once() -> None:
    assert len(_faults("shop:\n  timezone: Nowhere\nlisten:\n  port: x\nnetwork:\n  allow: [y]\n")) == 3


def test_no_fault_quotes_a_secret() -> None:
    text = "connections:\n  slack:\n    default: {webhook: 'ftp://hooks.example.com/secret-part'}\n"
    assert "secret-part" not in repr(_faults(text))


SIGNED = """
sources:
  chord:
    signing: {kind: Standard Webhooks, secrets: ["${NEW}", "${OLD}"]}
    basic: {username: oms, password: ["${PASSWORD}"]}
    from: [203.0.113.0/24, "2001:db8::1"]
"""
SIGNERS = {
    "NEW": "whsec_" + "bmV3LWtleS1vZi0yNC1ieXRlcy0x",
    "OLD": "b2xkLWtleS1vZi0yNC1ieXRlcy0x",
    "PASSWORD": "a-long-password-1",
}


def test_senders_may_sign_name_a_user_and_come_from_known_addresses() -> None:
    settings = _read(SIGNED, SIGNERS)
    assert settings.senders == Senders(
        StandardWebhooks((b"new-key-of-24-bytes-1", b"old-key-of-24-bytes-1")),
        Basic("oms", ("a-long-password-1",)),
        (ip_network("203.0.113.0/24"), ip_network("2001:db8::1/128")),
    )
    assert settings.guarded
    assert settings.hidden >= {*SIGNERS.values(), SIGNERS["NEW"].removeprefix("whsec_")}
    assert _read(SIGNED, {}, lenient=True).senders.verify


def test_a_signature_over_the_body_says_where_it_stands() -> None:
    text = "sources: {chord: {signing: {kind: hmac, header: X-Chord-Sum, prefix: sha256=, encoding: base64, secrets: [a-long-secret-123]}}}"
    signing = Hmac(b"x-chord-sum", (b"a-long-secret-123",), b"sha256=", "base64")
    assert _read(text).senders == Senders(signing)
    assert "a-long-secret-123" in _read(text).hidden


@pytest.mark.parametrize(
    "said",
    [
        "secrets: ['${EMPTY}']",
        "signing: {kind: hmac, header: X-Sum, secrets: ['${EMPTY}']}",
        "signing: {kind: standard webhooks, secrets: ['${EMPTY}']}",
        "basic: {username: oms, password: '${EMPTY}'}",
    ],
)
def test_a_variable_that_is_empty_is_no_secret(said: str) -> None:
    """T17: an empty secret would let everybody in."""
    [(line, message)] = _faults(f"sources:\n  chord:\n    {said}\n", {"EMPTY": ""})
    assert line == 3
    assert "empty" in message or "no secret" in message


def test_without_a_secret_or_a_signature_nobody_may_send() -> None:
    assert not _read("shop: {}\n").guarded


@pytest.mark.parametrize(
    ("said", "line", "told", "remedy"),
    [
        ("signing: {secrets: [x]}", 3, "say how requests are signed", "kind: standard webhooks"),
        ("signing: {kind: stripe, secrets: [x]}", 3, "`standard webhooks` or `hmac`", "kind: standard webhooks"),
        ("signing: {kind: hmac, header: X-Sum}", 3, "without the secret", 'secrets: ["${CHORD_SIGNING}"]'),
        ("signing: {kind: hmac, secrets: [a-long-secret-123]}", 3, "in which header", "header: X-Signature"),
        ("signing: {kind: hmac, header: 'X Sum', secrets: [a-long-secret-123]}", 3, "not the name of a header", "header: X-Signature"),
        ("signing: {kind: hmac, header: X-Sum, secrets: [short]}", 3, "too short", ""),
        ("signing: {kind: hmac, header: X-Sum, encoding: b64, secrets: [a-long-secret-123]}", 3, "`hex` or `base64`", "encoding: hex"),
        ("signing: {kind: standard webhooks, secrets: [whsec_short]}", 3, "begins with whsec_", ""),
        ("signing: {kind: standard webhooks, header: X, secrets: [bmV3LWtleS1vZi0yNC1ieXRlcy0x]}", 3, "Leave it out", ""),
        ("signing: {kinds: hmac}", 3, "Did you mean `kind`", "kind"),
        ("sining: {}", 3, "Did you mean `signing`", "signing"),
        ("basic: {username: oms}", 3, "needs a password", 'basic: {username: oms, password: "${CHORD_PASSWORD}"}'),
        ("basic: {username: 'a:b', password: a-long-password-1}", 3, "colon", ""),
        ("basic: {username: oms, password: short}", 3, "too short", ""),
        ("from: [chord.example.com]", 3, "not a range of addresses", "203.0.113.0/24"),
        ("from: [203.0.113.0/24]", 3, "anybody there could send", 'secrets: ["${CHORD_SECRET}"]'),
    ],
)  # fmt: skip
def test_a_fault_in_who_may_send_is_told_on_its_line_with_a_remedy(
    said: str, line: int, told: str, remedy: str
) -> None:
    with pytest.raises(SettingsFaulty) as caught:
        _read(f"sources:\n  chord:\n    {said}\n")
    (problem, *_) = [one for one in caught.value.problems if told in one.message]
    assert (problem.line, problem.hint) == (line, remedy)


# secrets in files


def _in_folder(
    folder: Path, text: str, environment: Mapping[str, str] | None = None, **how: bool
) -> Settings:
    return read_settings(text, folder / "shopbell.yaml", environment or {}, actions.found(), **how)


TOKEN = 'connections: {slack: {default: {token: "TEXT"}}}\n'


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_may_stand_in_a_file_whose_last_line_break_does_not_count(
    tmp_path: Path, ending: str
) -> None:
    file = tmp_path / "slack_token"
    file.write_bytes(f"xoxb-canary{ending}".encode())
    written = (
        (TOKEN.replace("TEXT", f"${{file:{file}}}"), {}),
        (TOKEN.replace("TEXT", "${file:slack_token}"), {}),
        (TOKEN.replace("TEXT", "${SLACK_TOKEN}"), {"SLACK_TOKEN_FILE": str(file)}),
    )
    for text, environment in written:
        settings = _in_folder(tmp_path, text, environment)
        assert settings.connections["slack"]["default"]["token"] == "xoxb-canary"
        assert "xoxb-canary" in settings.hidden


def test_a_file_works_for_every_setting_and_amid_a_text(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("Corner\n")
    (tmp_path / "port").write_text("8123\n")
    text = 'shop: {name: "${file:name} shop"}\nlisten: {port: "${file:port}"}\n'
    settings = _in_folder(tmp_path, text)
    assert (settings.shop.name, settings.listen.port) == ("Corner shop", 8123)


def test_the_variable_itself_comes_before_the_file(tmp_path: Path) -> None:
    environment = {"SLACK_TOKEN": "xoxb-1", "SLACK_TOKEN_FILE": str(tmp_path / "gone")}
    settings = _in_folder(tmp_path, TOKEN.replace("TEXT", "${SLACK_TOKEN}"), environment)
    assert settings.connections["slack"]["default"]["token"] == "xoxb-1"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "is not there"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "is not a text"),
        (b"x" * 70_000, "is longer than any setting"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    text = "shop: {name: A}\n" + TOKEN.replace("TEXT", "${file:token}")
    with pytest.raises(SettingsFaulty) as caught:
        _in_folder(tmp_path, text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.message) == (2, f"the file {file} {told}, and its content is needed here")
    assert _in_folder(tmp_path, text, lenient=True).connections["slack"]["default"]["token"]


def test_a_file_that_a_variable_leads_to_is_told_with_the_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsFaulty) as caught:
        _in_folder(tmp_path, TOKEN.replace("TEXT", "${SLACK_TOKEN}"), {"SLACK_TOKEN_FILE": "gone"})
    (problem,) = caught.value.problems
    assert f"the file {tmp_path / 'gone'} (of SLACK_TOKEN_FILE) is not there" in problem.message


def test_an_empty_file_means_the_defaults() -> None:
    assert _read("shop: {}\n").listen.host == "127.0.0.1"
