"""The statements that run all the time are found by an index, whatever the record has grown to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine.store import appending, delivering, judging, known, reading, remembering, sweeping
from engine.store.sql import DIALECTS, Listed, Statement
from engine.store.store import Store
from engine.store.tables import metadata

pytestmark = pytest.mark.anyio


async def plan(store: Store, statement: Statement) -> list[str]:
    """The steps that SQLite takes for a statement."""
    reader = store._reader.runner
    reader.cursor.execute(f"EXPLAIN QUERY PLAN {statement.text('sqlite')}", [None] * len(statement.names))
    return [row[3] for row in reader.cursor.fetchall()]


def searches(steps: list[str]) -> list[str]:
    """What is looked at and how. Whether an index covers all columns is for each version to find out."""
    shown = [step.replace(" COVERING", "").removesuffix(" LEFT-JOIN") for step in steps]
    return [step for step in shown if step.startswith(("SEARCH", "SCAN", "USE TEMP"))]


PLANS: dict[str, tuple[Statement, list[str]]] = {
    "events that wait are read in order from the index of those": (
        judging._NEW,
        [
            "SEARCH event USING INDEX ix_event_new (id>?)",
            "SEARCH body USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    "due deliveries are read in order from the index of those, their turn is checked by index": (
        delivering._DUE,
        [
            "SEARCH delivery USING INDEX ix_delivery_queued (connection=? AND due_at<?)",
            "SEARCH earlier USING INDEX ix_delivery_order (okey=? AND event_id<?)",
            "SEARCH event USING INDEX ix_event_new (id<?)",
            "SEARCH request USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    "connections are stepped through, not listed": (
        delivering._CONNECTIONS,
        [
            "SEARCH delivery USING INDEX ix_delivery_queued",
            "SCAN steps",
            "SEARCH delivery USING INDEX ix_delivery_queued (connection>?)",
            "SCAN steps",
        ],
    ),
    "the next due time is one step in the index": (
        delivering._NEXT,
        ["SEARCH delivery USING INDEX ix_delivery_queued (connection=? AND due_at>?)"],
    ),
    "deliveries under way are found by the index of those": (
        delivering._RUNNING,
        [
            "SCAN delivery USING INDEX ix_delivery_running",
            "SEARCH request USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    "settled deliveries are swept in the order of their end": (
        sweeping._SETTLED,
        ["SEARCH delivery USING INDEX ix_delivery_settled (finished_at<?)"],
    ),
    "events are swept in the order of their arrival, their deliveries looked for by index": (
        sweeping._OLD,
        [
            "SEARCH event USING INDEX ix_event_received_at (received_at<?)",
            "SEARCH delivery USING INDEX sqlite_autoindex_delivery_1 (event_id=?)",
            "SEARCH timer USING INDEX ix_timer_event_id (event_id=?)",
            "SEARCH collected USING INDEX ix_collected_event_id (event_id=?)",
        ],
    ),
    "contents are swept in the order of their arrival, from where the last sweep ended": (
        sweeping._CONTENTS,
        [
            "SEARCH event USING INDEX ix_event_received_at (received_at>? AND received_at<?)",
            "SEARCH delivery USING INDEX sqlite_autoindex_delivery_1 (event_id=?)",
            "SEARCH timer USING INDEX ix_timer_event_id (event_id=?)",
            "SEARCH collected USING INDEX ix_collected_event_id (event_id=?)",
            "SEARCH body USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    "what rules need remember no longer is found by its time": (
        sweeping._FORGOTTEN,
        ["SEARCH cell USING INDEX ix_cell_until (until<?)"],
    ),
    "what waited and has ended is swept in the order of its end": (
        sweeping._ENDED,
        ["SEARCH timer USING INDEX ix_timer_ended (ended_at<?)"],
    ),
    "identities are swept in the order of their end": (
        sweeping._EXPIRED,
        ["SEARCH identity USING INDEX ix_identity_expires_at (expires_at<?)"],
    ),
    "bodies in quarantine are swept in the order of their arrival": (
        sweeping._UNREADABLE,
        ["SEARCH quarantine USING INDEX ix_quarantine_received_at (received_at<?)"],
    ),
    "events of a time are gone through in the order in which they came": (
        reading._HISTORY,
        [
            "SEARCH event USING INDEX ix_event_received_at (received_at>?)",
            "SEARCH body USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    "all events are listed from the newest": (
        reading._events(False, ""),
        ["SEARCH event USING INTEGER PRIMARY KEY (rowid<?)"],
    ),
    "events of a type are listed from its newest": (
        reading._events(True, ""),
        ["SEARCH event USING INDEX ix_event_type (type=? AND id<?)"],
    ),
    "events that wait are listed from the index of those": (
        reading._events(False, "new"),
        ["SEARCH event USING INDEX ix_event_new (id<?)"],
    ),
    "events that were set aside are listed from the index of those": (
        reading._events(False, "failed"),
        ["SEARCH event USING INDEX ix_event_failed (id<?)"],
    ),
    "all deliveries are listed from the newest": (
        reading._deliveries("", False, False),
        [
            "SEARCH delivery USING INTEGER PRIMARY KEY (rowid<?)",
            "SEARCH request USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    "deliveries of a rule are listed from its newest": (
        reading._deliveries("", False, True),
        [
            "SEARCH delivery USING INDEX ix_delivery_rule (rule=? AND id<?)",
            "SEARCH request USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    "deliveries of an event are found by it": (
        reading._deliveries("", True, False),
        [
            "SEARCH delivery USING INDEX sqlite_autoindex_delivery_1 (event_id=?)",
            "SEARCH request USING INTEGER PRIMARY KEY (rowid=?)",
            "USE TEMP B-TREE FOR ORDER BY",
        ],
    ),
    "deliveries that need a person are listed from the index of those": (
        reading._deliveries("held", False, False),
        [
            "SEARCH delivery USING INDEX ix_delivery_aside (state=? AND id<?)",
            "SEARCH request USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    "deliveries that wait are listed from the index of those": (
        reading._deliveries("queued", False, False),
        [
            "SCAN delivery USING INDEX ix_delivery_queued",
            "SEARCH request USING INTEGER PRIMARY KEY (rowid=?)",
            "USE TEMP B-TREE FOR ORDER BY",
        ],
    ),
    "events that wait are counted in their index": (reading._NEW, ["SCAN event USING INDEX ix_event_new"]),
    "deliveries that wait are counted in the order of their index, unsorted": (
        reading._ON_THEIR_WAY["queued"],
        ["SCAN delivery USING INDEX ix_delivery_queued"],
    ),
}


@pytest.mark.parametrize("what", PLANS)
async def test_found_by_index(open_store: Any, database: str, what: str) -> None:
    statement, expected = PLANS[what]
    assert searches(await plan(await open_store(), statement)) == expected


async def test_what_waits_is_counted_without_looking_at_the_rows(store: Store) -> None:
    for statement in (
        reading._NEW,
        reading._FAILED,
        reading._ON_THEIR_WAY["queued"],
        delivering._CONNECTIONS,
    ):
        steps = [step for step in await plan(store, statement) if " ix_" in step]
        assert steps, statement.text("sqlite")
        assert all("COVERING INDEX" in step for step in steps), steps


async def test_lists_of_keys_are_looked_up_one_by_one(store: Store) -> None:
    for name, table, statement in (
        ("identity", "identity", known.Known().identities._find),
        ("subject", "subject", known.Known().subjects._find),
        ("alias", "alias", known.Known().aliases._find),
        ("start", "event", judging._START),
        ("claim", "delivery", delivering._CLAIM),
        ("bodies", "body", remembering._BODIES),
        ("names", "name", remembering._NAMES),
    ):
        steps = searches(await plan(store, statement.sized(8)))
        assert len(steps) == 1, name
        assert steps[0].startswith(f"SEARCH {table} USING"), name


def statements() -> Iterator[tuple[str, Statement]]:
    for module in (appending, delivering, judging, known, reading, remembering, sweeping):
        for name, value in vars(module).items():
            if isinstance(value, Statement):
                yield f"{module.__name__}.{name}", value
            elif isinstance(value, Listed):
                yield f"{module.__name__}.{name}", value.sized(4)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_statement_can_be_said_to_both_databases_with_the_same_parameters(dialect: str) -> None:
    mark = {"sqlite": "?", "postgresql": "%s"}[dialect]
    said = dict(statements())
    assert len(said) > 50
    for name, statement in said.items():
        assert statement.text(dialect).count(mark) == len(statement.names), name


def test_no_statement_binds_a_state_it_looks_for() -> None:
    """A bound state would keep the partial indexes from being used."""
    for name, statement in statements():
        text = statement.text("sqlite")
        where = text[text.find("WHERE") :] if "WHERE" in text else ""
        assert "state = ?" not in where, name
        assert "state IN (?" not in where, name


def test_every_partial_index_is_the_same_on_both_databases() -> None:
    for table in metadata.tables.values():
        for index in table.indexes:
            conditions = [index.dialect_options[name]["where"] for name in ("sqlite", "postgresql")]
    assert str(conditions[0]) == str(conditions[1]), index.name
