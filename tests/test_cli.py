"""The command line as people and scripts use it: what it says, what it exits with, and that trying sends nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.rulebook.frames import to_json
from engine.sources.chord.catalogue import EVENT_TYPES

BIG = """name: Big order
when: order_completed
if:
  order.total: at least 200 USD
unless:
  order.channel: wholesale
then:
  - slack:
      channel: big-orders
      text: "{{ order.number }}: {{ order.total | money }}"
"""
BROKEN = BIG.replace("order.total:", "order.totl:")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one good rule, in which the command runs."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "big-order.yaml").write_text(BIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHOPBELL_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Refuses every connection, and notes that it was tried."""
    tried: list[Any] = []

    def refuse(self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


def _run(*words: str, input: bytes | None = None) -> Result:
    return CliRunner().invoke(main, words, input=input)


def _json(*words: str) -> Any:
    result = _run(*words, "--json")
    return json.loads(result.stdout)


# dry-run


def test_a_dry_run_says_what_would_be_sent_and_why(shop: Path) -> None:
    result = _run("dry-run", "--event", "order_completed", "--set", "order.total=250.00")
    assert result.exit_code == 0
    assert "Big order fires" in result.output
    assert "✓ order.total at least 200 USD" in result.output
    assert "it is '250.00'" in result.output
    assert "ACS-176461162: $250.00" in result.output
    assert "\x1b[" not in result.output


def test_a_dry_run_says_why_a_rule_does_not_fire(shop: Path) -> None:
    result = _run("dry-run", "--event", "order_completed")
    assert "Big order does not fire" in result.output
    assert "✗ order.total at least 200 USD → it is '10.63'" in " ".join(result.output.split())


def test_the_json_of_a_dry_run_has_the_documented_shape(shop: Path) -> None:
    plan = _json("dry-run", "rules", "--event", "order_completed", "--set", "order.total=250.00")
    assert set(plan) == {"event", "rules"}
    assert set(plan["event"]) == {"id", "type", "source", "subject", "late", "repeat"}
    [rule] = plan["rules"]
    assert set(rule) >= {"id", "name", "file", "line", "mode", "outcome", "reasons", "actions"}
    assert (rule["id"], rule["outcome"], rule["mode"]) == ("big-order", "fires", "on")
    assert [(reason["under"], reason["answer"]) for reason in rule["reasons"]] == [
        ("when", "yes"), ("if", "yes"), ("unless", "yes"), ("unless", "no"),
    ]  # fmt: skip
    assert all(
        set(reason) >= {"line", "under", "text", "answer", "found", "because"} for reason in rule["reasons"]
    )
    [action] = rule["actions"]
    assert set(action) >= {"kind", "line", "to", "request", "gaps", "idempotency_key"}
    assert action["request"]["text"] == "ACS-176461162: $250.00"
    assert rule["reasons"][1]["line"] == 4
    assert rule["reasons"][1]["found"] == ["250.00"]


def test_a_dry_run_opens_no_connection_and_writes_nothing(shop: Path, no_network: list[Any]) -> None:
    mail = BIG.replace(
        "slack:\n      channel: big-orders", "email:\n      to: a@shop.example\n      subject: x"
    )
    (shop / "rules" / "mail.yaml").write_text(mail.replace("name: Big order", "name: Mail"))
    call = "name: Call\nwhen: order_completed\nthen:\n  - http:\n      post: https://erp.example.com/x\n      json: {a: 1}\n"
    (shop / "rules" / "call.yaml").write_text(call)
    before = sorted(path.name for path in shop.rglob("*"))
    result = _run("dry-run", "--event", "order_completed", "--set", "order.total=999")
    assert (result.exit_code, result.output.count(" fires ")) == (0, 3)
    assert no_network == []
    assert sorted(path.name for path in shop.rglob("*")) == before


def test_a_dry_run_takes_one_rule_file_too(shop: Path) -> None:
    (shop / "rules" / "other.yaml").write_text(BROKEN)
    plan = _json("dry-run", "rules/big-order.yaml", "--event", "order_completed")
    assert [rule["id"] for rule in plan["rules"]] == ["big-order"]


def test_faulty_rules_are_named_in_a_dry_run_of_the_others(shop: Path) -> None:
    (shop / "rules" / "broken.yaml").write_text(BROKEN)
    result = _run("dry-run", "--event", "order_completed")
    assert result.exit_code == 1
    assert "broken.yaml" in result.output


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"\xef\xbb\xbf" + to_json(EVENT_TYPES["order_completed"].sample), None),
        (to_json(EVENT_TYPES["order_completed"].sample).decode().encode("utf-16"), "cannot be read"),
        (b'{"event_name": "x"}{"event_name": "y"}', "cannot be read"),
        (b"[]", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_a_sample_file_is_read_as_the_receiver_would(shop: Path, body: bytes, told: str | None) -> None:
    (shop / "my sample.json").write_bytes(body)
    result = _run("dry-run", "--event", "my sample.json")
    assert result.exit_code == (0 if told is None else 2)
    if told:
        assert told in result.output
        assert "my sample.json" in result.output


def test_an_event_is_read_from_standard_input(shop: Path) -> None:
    result = _run("dry-run", "--event", "-", input=to_json(EVENT_TYPES["order_completed"].sample))
    assert (result.exit_code, "Big order" in result.output) == (0, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--event", "order_complete"), "Did you mean order_completed?"),
        (("--event", "order_completed", "--set", "order.total"), "not PATH=VALUE"),
        (("--event", "order_completed", "--set", "order.line_items[7].sku=x"), "leads nowhere"),
        (("--event", "order_completed", "--at", "soon"), "not a moment"),
    ],
)
def test_wrong_use_ends_with_two_and_says_what_to_write(
    shop: Path, words: tuple[str, ...], told: str
) -> None:
    result = _run("dry-run", *words)
    assert result.exit_code == 2
    assert told in result.output


def test_a_moment_can_be_handed_in(shop: Path) -> None:
    rule = "name: Old\nwhen: order_completed\nif:\n  order.completed_at: older than 48 hours\nthen:\n  - slack: {text: x}\n"
    (shop / "rules" / "old.yaml").write_text(rule)
    outcomes = [
        next(
            rule["outcome"]
            for rule in _json("dry-run", "--event", "order_completed", "--at", at)["rules"]
            if rule["id"] == "old"
        )
        for at in ("2021-10-06T00:00", "2021-10-09T00:00")
    ]
    assert outcomes == ["does not fire", "fires"]


# check


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        (BIG, (), 0),
        (BROKEN, (), 1),
        (BIG.replace(" USD", ""), (), 0),
        (BIG.replace(" USD", ""), ("--strict",), 1),
    ],
)
def test_check_ends_with_one_only_where_something_is_wrong(
    shop: Path, text: str, words: tuple[str, ...], code: int
) -> None:
    (shop / "rules" / "big-order.yaml").write_text(text)
    assert _run("check", *words).exit_code == code


def test_check_names_file_line_column_and_the_corrected_field(shop: Path) -> None:
    (shop / "rules" / "broken.yaml").write_text(BROKEN)
    result = _run("check")
    assert "broken.yaml:4:3" in result.output
    assert "order.total" in result.output
    assert "2 rules checked" in result.output


def test_the_json_of_check_has_the_documented_shape(shop: Path) -> None:
    (shop / "rules" / "broken.yaml").write_text(BROKEN + "mood: on\n")
    told = _json("check")
    assert told["rules"] == 2
    assert [(one["file"], one["line"], one["severity"]) for one in told["problems"]] == [
        ("broken.yaml", 4, "error"), ("broken.yaml", 11, "error"),
    ]  # fmt: skip
    assert all(
        set(one) == {"file", "line", "column", "severity", "message", "hint"} for one in told["problems"]
    )


def test_a_folder_that_is_not_there_is_wrong_use(shop: Path) -> None:
    result = _run("check", "ruels")
    assert (result.exit_code, "no rule file or folder" in result.output) == (2, True)


# test


def test_the_tests_of_rules_are_run_and_a_failing_one_shows_why(shop: Path) -> None:
    tests = "tests:\n  - name: right\n    given: order_completed\n    expect: does not fire\n"
    wrong = "  - name: wrong\n    given: order_completed\n    expect: fires\n"
    path = shop / "rules" / "big-order.yaml"
    path.write_text(BIG + tests)
    assert _run("test").exit_code == 0
    path.write_text(BIG + tests + wrong)
    result = _run("test")
    assert result.exit_code == 1
    assert "✓ Big order: right" in result.output
    assert "✗ Big order: wrong" in result.output
    assert "it is '10.63'" in result.output
    assert "1 passed, 1 failed" in result.output


# settings


def test_faults_of_the_settings_are_told_before_anything_else(shop: Path) -> None:
    (shop / "shopbell.yaml").write_text("shop:\n  curency: USD\n")
    result = _run("check")
    assert result.exit_code == 2
    assert "shopbell.yaml:2:3" in result.output
    assert "currency" in result.output


def test_a_settings_file_that_is_named_must_be_there(shop: Path) -> None:
    result = _run("check", "--config", "other.yaml")
    assert (result.exit_code, "no settings file" in result.output) == (2, True)


def test_trying_rules_needs_no_secret_in_the_environment(shop: Path) -> None:
    (shop / "shopbell.yaml").write_text('connections:\n  slack:\n    big-orders: {webhook: "${NOT_SET}"}\n')
    assert _run("dry-run", "--event", "order_completed").exit_code == 0


def test_the_service_does_not_start_without_a_secret(shop: Path) -> None:
    (shop / "shopbell.yaml").write_text("shop: {name: x}\n")
    result = _run("serve")
    assert (result.exit_code, "no secret is set" in result.output) == (2, True)


# fmt, schema, gallery, new


def test_fmt_gives_one_spelling_and_keeps_comments(shop: Path) -> None:
    path = shop / "rules" / "big-order.yaml"
    path.write_text(
        BIG.replace("name:", "Name:").replace("when: order_completed", "WHEN: order_completed  # paid")
    )
    assert _run("fmt", "--check").exit_code == 1
    assert "Name:" in path.read_text()
    assert _run("fmt").exit_code == 0
    assert path.read_text() == BIG.replace("when: order_completed", "when: order_completed  # paid")
    assert _run("fmt", "--check").exit_code == 0


def test_fmt_leaves_a_file_with_faults_alone(shop: Path) -> None:
    path = shop / "rules" / "broken.yaml"
    path.write_text("Name: *x*\n")
    assert _run("fmt").exit_code == 0
    assert path.read_text() == "Name: *x*\n"


def test_the_schema_is_one_json_document(shop: Path) -> None:
    assert json.loads(_run("schema").stdout)["$schema"].startswith("https://json-schema.org/")


def test_the_gallery_lists_its_rules_with_why(shop: Path) -> None:
    listed = _json("gallery")["rules"]
    assert len(listed) == 15
    assert all(rule["id"] and rule["name"] and rule["why"] for rule in listed)


def test_a_new_rule_is_in_mode_test_and_without_faults(shop: Path) -> None:
    result = _run("new", "ships-abroad", "--name", "Abroad: 2 or more")
    assert result.exit_code == 0
    text = (shop / "rules" / "abroad-2-or-more.yaml").read_text()
    assert 'name: "Abroad: 2 or more"' in text
    assert "mode: test" in text
    assert _run("check").exit_code == 0
    assert _run("test").exit_code == 0


def test_a_new_rule_never_replaces_another(shop: Path) -> None:
    result = _run("new", "big-order")
    assert (result.exit_code, "already" in result.output) == (2, True)
    assert (shop / "rules" / "big-order.yaml").read_text() == BIG


def test_a_misspelt_rule_of_the_gallery_is_told_with_the_nearest(shop: Path) -> None:
    result = _run("new", "big-ordr")
    assert (result.exit_code, "Did you mean big-order?" in result.output) == (2, True)


# what people look for


def test_the_fields_of_an_event_are_listed_with_their_values(shop: Path) -> None:
    result = _run("fields", "order_cancelled")
    assert result.exit_code == 0
    assert "order.payment_state" in result.output
    assert "credit_owed" in result.output
    assert _run("fields", "order_canceled").exit_code == 2


def test_a_dry_run_without_an_event_names_those_that_there_are(shop: Path) -> None:
    result = _run("dry-run")
    assert (result.exit_code, "shipment_shipped" in result.output) == (2, True)


def test_skipped_rules_are_named_in_the_json_of_a_dry_run_too(shop: Path) -> None:
    (shop / "rules" / "broken.yaml").write_text(BROKEN)
    result = _run("dry-run", "--event", "order_completed", "--json")
    assert (result.exit_code, json.loads(result.stdout)["skipped"]) == (1, ["broken.yaml"])


def test_check_tells_of_files_that_were_probably_meant_as_rules(shop: Path) -> None:
    (shop / "rules" / "big.yaml.txt").write_text(BIG)
    (shop / "rules" / "BIG.YAML").write_text(BIG)
    result = _run("check")
    assert "BIG.YAML is not read" in result.output
    assert "big.yaml.txt is not read" in result.output


def test_check_is_not_pleased_with_no_rules_at_all(shop: Path) -> None:
    (shop / "rules" / "big-order.yaml").unlink()
    result = _run("check")
    assert "no rules found" in result.output
    assert "✓" not in result.output


def test_tests_that_are_not_there_are_said_to_be_missing(shop: Path) -> None:
    assert "no rule has tests yet" in _run("test").output


def test_a_folder_of_rules_that_is_not_there_is_no_demo(shop: Path) -> None:
    assert _run("demo", "--once", "--rules", "nowhere").exit_code == 2


def test_a_port_in_use_is_told_before_anything_begins(shop: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        secret = "sources: {chord: {secrets: [a-secret-that-is-long-enough]}}\n"
        (shop / "shopbell.yaml").write_text(f"listen: {{port: {port}}}\n{secret}")
        for words in (("serve",), ("sandbox", "--port", str(port)), ("demo", "--once", "--port", str(port))):
            result = _run(*words)
            assert (result.exit_code, "already in use" in result.output) == (2, True), result.output
