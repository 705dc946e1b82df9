"""The tests in a rule file: what they are given, what they expect, and what is told where they are wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from engine.language.problem import Problem, Problems
from engine.rulebook.book import Rulebook
from engine.rulebook.trial import Result, RuleTest, read_tests, run_test
from engine.rulebook.vocabulary import Language

Load = Callable[..., Rulebook]
Run = Callable[..., list[Result]]
NOW = datetime(2026, 11, 25, tzinfo=UTC)
ONE_SLACK = "then:\n  - slack: {text: hello}\n"
BIG = "when: order_completed\nif:\n  order.total: at least 200 USD\nthen:\n  - slack:\n      text: '{{ order.number }}: {{ order.total | money }}'\n"


@pytest.fixture
def run(load: Load, language: Language) -> Run:
    """The results of the tests of a rule text."""

    def ran(text: str) -> list[Result]:
        book = load(text)
        assert not [problem for problem in book.problems if problem.severity == "error"]
        (rule,) = book.rules
        return [run_test(one, rule, book, "chord", NOW) for one in read_tests(rule, language, Problems("r"))]

    return ran


@pytest.fixture
def told(load: Load) -> Callable[[str], list[Problem]]:
    """The faults of a rule whose tests are these lines."""

    def faults(tests: str) -> list[Problem]:
        return [one for one in load(BIG + "tests:\n" + tests).problems if one.severity == "error"]

    return faults


# what is given


def test_a_test_is_given_the_sample_of_an_event(run: Run) -> None:
    (result,) = run(BIG + "tests:\n  - given: order_completed\n    expect: does not fire\n")
    assert result.passed


def test_a_test_may_change_fields_of_the_sample(run: Run) -> None:
    (result,) = run(
        BIG + "tests:\n  - given: order_completed\n    with: {order.total: 250.00}\n    expect: fires\n"
    )
    assert result.passed


def test_a_test_fails_where_the_rule_says_something_else_and_tells_both(run: Run) -> None:
    (result,) = run(BIG + "tests:\n  - given: order_completed\n    expect: fires\n")
    assert result.passed is False
    assert result.because == "the rule does not fire; expected was: fires"
    assert result.plan is not None
    assert any(reason.because == "it is '10.63'" for reason in result.plan.reasons)


@pytest.mark.parametrize(
    ("path", "written", "sent"),
    [
        ("order.total", "250.00", "250.00"),
        ("order.total", "250", "250"),
        ("order.number", "007", "007"),
        ("order.ship_address.phone", "5550142", "5550142"),
        ("order.ship_address.country", "NO", "NO"),
        ("order.subscription_id", "42", 42),
        ("order.subscription_order", "yes", True),
        ("order.subscription_order", '"yes"', "yes"),
        ("order.item_count", "3", 3),
        ("order.item_count", '"3"', "3"),
        ("order.item_count", "many", "many"),
        ("order.email", "null", None),
        ("order.email", '""', ""),
        ("order.completed_at", "2026-01-01", "2026-01-01"),
        ("order.user", "null", None),
        ("order.line_items", "[{sku: 01234, quantity: 2}]", [{"sku": "01234", "quantity": 2}]),
    ],
)
def test_a_value_is_given_as_the_sender_would_send_it(
    load: Load, language: Language, path: str, written: str, sent: object
) -> None:
    book = load(
        BIG + f"tests:\n  - given: order_completed\n    with: {{{path}: {written}}}\n    expect: fires\n"
    )
    (test,) = read_tests(book.rules[0], language, Problems("r"))
    value = test.payload["order"]
    for step in path.split(".")[1:]:
        value = value[step]
    assert (value, type(value)) == (sent, type(sent))


@pytest.mark.parametrize(
    "path", ["order.line_items.quantity", "'order.line_items[*].quantity'", "'order.line_items[0].quantity'"]
)
def test_a_field_of_a_lists_items_may_be_changed_in_any_spelling(
    load: Load, language: Language, path: str
) -> None:
    book = load(BIG + f"tests:\n  - given: order_completed\n    with: {{{path}: 12}}\n    expect: fires\n")
    (test,) = read_tests(book.rules[0], language, Problems("r"))
    assert [item["quantity"] for item in test.payload["order"]["line_items"]] == [12]


def test_a_change_leaves_the_sample_as_it_was(load: Load, language: Language) -> None:
    sample = language.event_types["order_completed"].sample
    load(
        BIG
        + "tests:\n  - given: order_completed\n    with: {order.line_items.quantity: 12}\n    expect: fires\n"
    )
    assert sample["order"]["line_items"][0]["quantity"] == 1


def test_before_gives_the_last_known_state_of_the_same_object(run: Run) -> None:
    text = (
        "when: shipment_updated\nif:\n  shipment.state: changed to shipped\nthen:\n  - slack: {text: hi}\ntests:\n"
        "  - given: shipment_updated\n    with: {shipment.state: shipped}\n    before: {shipment.state: ready}\n    expect: fires\n"
        "  - given: shipment_updated\n    with: {shipment.state: shipped}\n    before: {shipment.state: shipped}\n    expect: does not fire\n"
    )
    assert [result.passed for result in run(text)] == [True, True]


def test_a_shipments_order_is_the_sample_order(run: Run) -> None:
    text = (
        "when: shipment_shipped\nif:\n  order.number: present\nthen:\n  - slack: {text: '{{ order.number }}'}\n"
        "tests:\n  - given: shipment_shipped\n    expect: fires\n    expect text: contains ACS-176461162\n"
    )
    assert run(text)[0].passed


def test_a_stock_items_name_is_the_one_of_the_sample_order(run: Run) -> None:
    text = (
        "when: stock_item_back_in_stock\nthen:\n  - slack: {text: '{{ product.name }}'}\n"
        "tests:\n  - given: stock_item_back_in_stock\n    expect: fires\n    expect text: contains Stoneware mug\n"
    )
    assert run(text)[0].passed


# when it happens


FRESH = "when: order_completed\nif:\n  order.completed_at: within last 2 hours\nthen:\n  - slack: {text: hi}\ntests:\n"


def test_a_test_happens_when_its_sample_does_whatever_day_it_is_run(run: Run) -> None:
    assert run(FRESH + "  - given: order_completed\n    expect: fires\n")[0].passed


def test_a_test_may_say_at_which_moment_it_happens_on_the_rules_clock(run: Run) -> None:
    late = "  - given: order_completed\n    at: 2021-10-05 12:30\n    expect: {}\n"
    assert run(FRESH + late.format("does not fire"))[0].passed is True
    new_york = FRESH.replace("then:", "timezone: America/New_York\nthen:")
    assert run(new_york + late.format("does not fire"))[0].passed is False
    assert run(new_york + late.format("fires"))[0].passed is True


def test_a_payload_that_nobody_would_send_is_judged_all_the_same(run: Run) -> None:
    text = "when: order_completed\nthen:\n  - slack: {text: hi}\ntests:\n  - given: order_completed\n    with: {event_name: null}\n    expect: fires\n"
    assert run(text)[0].passed


def test_time_that_passes_changes_nothing_for_a_rule_that_is_decided_at_once(run: Run) -> None:
    steps = "  - given: order_completed\n    then after: 48 hours\n    then after 2 days: shipment_shipped\n    expect: does not fire\n"
    assert run(BIG + "tests:\n" + steps)[0].passed


def test_a_test_moves_the_clock_through_the_words_of_its_rule(run: Run) -> None:
    steps = ("", "    then after: 47 hours\n", "    then after: 48 hours\n")
    tests = "".join(f"  - given: order_completed\n{step}    expect: fires\n" for step in steps)
    results = run("when: order_completed\nwait: 48 hours\n" + ONE_SLACK + "tests:\n" + tests)
    assert [result.passed for result in results] == [False, False, True]
    assert results[0].because.endswith("Let time pass: `then after: 48 hours`")


# what is expected


@pytest.mark.parametrize("expect", ["could not tell", "Could_not-tell"])
def test_a_test_may_expect_that_nobody_can_tell(run: Run, expect: str) -> None:
    tests = f"tests:\n  - given: order_completed\n    with: {{order.total: N/A}}\n    expect: {expect}\n"
    assert run(BIG + tests)[0].passed


@pytest.mark.parametrize(
    ("expected", "passed"),
    [
        ("contains $250.00", True),
        ("contains ACS-", True),
        ("contains acs-176", True),
        ('contains "ACS-"', True),
        ("contains €250", False),
        ("[contains $250.00, contains ACS-]", True),
        ("[contains $250.00, contains nothing like it]", False),
    ],
)
def test_a_test_may_expect_words_in_a_message(run: Run, expected: str, passed: bool) -> None:
    tests = f"tests:\n  - given: order_completed\n    with: {{order.total: '250.00'}}\n    expect: fires\n    expect text: {expected}\n"
    assert run(BIG + tests)[0].passed is passed


def test_the_word_that_no_message_holds_is_told(run: Run) -> None:
    tests = "tests:\n  - given: order_completed\n    with: {order.total: '250.00'}\n    expect: fires\n    expect text: contains €250\n"
    assert run(BIG + tests)[0].because == 'no message contains "€250"'


def test_a_test_without_a_name_is_counted(load: Load, language: Language) -> None:
    book = load(
        BIG
        + "tests:\n  - given: order_completed\n    expect: fires\n  - given: order_completed\n    expect: fires\n"
    )
    tests: tuple[RuleTest, ...] = read_tests(book.rules[0], language, Problems("r"))
    assert [one.name for one in tests] == ["test 1", "test 2"]


# faults


@pytest.mark.parametrize(
    ("tests", "line", "message", "hint"),
    [
        ("  - given: order_completed\n", 8, "the test expects nothing: `expect` is missing", "expect: fires"),
        (
            "  - expect: fires\n",
            8,
            "the test is given no event: `given` is missing",
            "given: order_completed",
        ),
        (
            "  - given: order_complete\n    expect: fires\n",
            8,
            "the OMS has no event order_complete. Did you mean `order_completed`?",
            "given: order_completed",
        ),
        (
            "  - given: order_completed\n    expect: fire\n",
            9,
            '"fire" is no answer of a rule. Write fires, does not fire or could not tell',
            "expect: fires",
        ),
        (
            "  - given: order_completed\n    expects: fires\n",
            9,
            'a test has no setting called "expects". Did you mean `expect`?',
            "expect:",
        ),
        (
            "  - given: order_completed\n    expect: fires\n    with: {order.totl: 1}\n",
            10,
            "order_completed events have no field order.totl. Did you mean `order.total`?",
            "order.total",
        ),
        (
            "  - given: order_completed\n    expect: fires\n    with: order.total\n",
            10,
            "with takes fields with their values",
            'with: {order.total: "250.00"}',
        ),
        (
            "  - given: order_completed\n    expect: fires\n    at: tomorrow\n",
            10,
            '"tomorrow" cannot be read as a day or time',
            "at: 2026-12-24 18:00",
        ),
        (
            "  - given: order_completed\n    expect: fires\n    then after: a while\n",
            10,
            '"a while" is not a length of time',
            "then after: 48 hours",
        ),
        (
            "  - given: order_completed\n    expect: fires\n    then after 2 hours: shipment_shiped\n",
            10,
            "the OMS has no event shipment_shiped. Did you mean `shipment_shipped`?",
            "then after 2 hours: shipment_shipped",
        ),
        (
            "  - given: order_completed\n    expect: fires\n    expect text: $250\n",
            10,
            "expect text takes `contains` and some words",
            "expect text: contains $250",
        ),
        (
            "  - given: order_completed\n    expect: does not fire\n    expect text: contains $250\n",
            10,
            "a rule that does not fire sends no message, so its text cannot be looked at",
            "expect: fires",
        ),
        (
            "  - order_completed fires\n",
            8,
            "a test has lines of its own",
            "- given: order_completed\n  expect: fires",
        ),
        (
            "  given: order_completed\n",
            8,
            "tests takes a list, each test after a dash",
            "tests:\n  - given: order_completed\n    expect: fires",
        ),
    ],
)
def test_a_fault_in_a_test_is_told_by_check_with_its_line_and_remedy(
    told: Callable[[str], list[Problem]], tests: str, line: int, message: str, hint: str
) -> None:
    faults = told(tests)
    assert [one.line for one in faults] == [line], faults
    assert faults[0].message.startswith(message)
    assert faults[0].hint == hint
