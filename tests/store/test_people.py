"""A person is found, given out and erased everywhere: in every table, however written, and in the files themselves."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from sqlalchemy import Boolean, LargeBinary, Text, create_engine, insert, select

from engine.model import DeliveryState
from engine.store.people import BECAUSE, Person, StillRead, Traced, export, look, looked_through
from engine.store.sql import Statement
from engine.store.store import Finished, NotFound, Reader, Store
from engine.store.tables import metadata

pytestmark = pytest.mark.anyio

ANA = "ana.canary@example.test"
FIELDS = frozenset({"email", "firstname", "lastname", "address1", "phone"})


def order(number: str, email: str, name: str = "Canaria", **more: Any) -> bytes:
    """An order of a person."""
    address = {
        "firstname": name,
        "lastname": f"{name}son",
        "address1": f"7 {name} Street",
        "phone": "555-0142",
    }
    document = {
        "event_name": "order_completed",
        "order": {"number": number, "email": email, "ship": address, **more},
    }
    return msgspec.json.encode(document)


async def keep(store: Store, shop: Any, number: str, body: bytes, *deliveries: Any, **more: Any) -> str:
    """An event of an order that is judged."""
    arrival = shop.arrival(body.decode("latin-1") + str(more), subject=f"order:{number}", body=body, **more)
    appended = await store.append(arrival, shop.now)
    await store.record([shop.judged(appended.id, *deliveries)])
    return str(appended.id)


def request(**said: Any) -> dict[str, Any]:
    return {"request_json": msgspec.json.encode(said)}


def found_in_files(url: str, *words: str) -> list[str]:
    """Which words stand in which file of the database, or row of a shared one, in capitals or not."""
    if url.startswith("postgres"):
        return found_in_rows(url, *words)
    path = Path(url.removeprefix("sqlite:///"))
    files = {file.name: file.read_bytes().lower() for file in path.parent.iterdir() if file.is_file()}
    assert any(file.endswith("-wal") for file in files)
    return [
        f"{word} in {name}" for name, data in files.items() for word in words if word.lower().encode() in data
    ]


def found_in_rows(url: str, *words: str) -> list[str]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        rows = [
            (
                table.name,
                " ".join(v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in row).lower(),
            )
            for table in metadata.sorted_tables
            for row in connection.execute(select(table))
        ]
    engine.dispose()
    return [f"{word} in {name}" for name, said in rows for word in words if word.lower() in said]


async def test_an_address_goes_from_every_text_column_of_every_table(
    store: Store, shop: Any, url: str
) -> None:
    """Also from tables that were added later: the rows are made from the description of the tables."""
    await store._writer.call(lambda runner: [runner.many(*_a_row(table)) for table in metadata.sorted_tables])
    expected = {looked.table.name for looked in looked_through()}
    found = await store.people.find(Person(ANA), FIELDS)
    assert set(found.rows) == expected
    await store.people.erase(Person(ANA), FIELDS, shop.now)
    assert found_in_files(url, ANA) == []
    assert (await store.people.find(Person(ANA), FIELDS)).number == 0


def _a_row(table: Any) -> tuple[Statement, list[tuple[Any, ...]]]:
    texts = {looked.table.name: {column.name for column in looked.texts} for looked in looked_through()}
    values = []
    for column in table.c:
        named = column.name in texts.get(table.name, ()) and column.name != "state"
        text = f"<{ANA}> {column.name}" if named else "x"
        if isinstance(column.type, Text):
            values.append(text)
        else:
            plain = False if isinstance(column.type, Boolean) else 1
            values.append(text.encode() if isinstance(column.type, LargeBinary) else plain)
    return Statement(insert(table)), [tuple(values)]


async def test_what_names_the_person_in_their_orders_goes_with_the_address_and_the_rest_stays(
    store: Store, shop: Any, url: str
) -> None:
    mail = shop.delivery(
        to=f"Canaria <{ANA}>", **request(to=ANA, text="Dear Canaria, it goes to 7 CANARIA street")
    )
    theirs = await keep(store, shop, "R1", order("R1", ANA, total=10.50), mail)
    others = await keep(store, shop, "R2", order("R2", "bo@example.test", "Bosse"))
    await store.append(shop.arrival("parcel", subject="shipment:H1", body=b'{"to": "x"}'), shop.now)
    erased = await store.people.erase(Person(ANA.upper()), FIELDS, shop.now)
    assert (erased.rows["body"], erased.rows["request"], erased.rows["delivery"]) == (1, 1, 1)
    assert found_in_files(url, "canar", "555-0142 Street") == []
    record = await store.event(theirs)
    assert record.intact
    document = msgspec.json.decode(record.body or b"")
    assert document["order"] == {
        "number": "R1", "email": "[erased]", "total": 10.5,
        "ship": dict.fromkeys(("firstname", "lastname", "address1", "phone"), "[erased]"),
    }  # fmt: skip
    assert (await store.event(others)).body == order("R2", "bo@example.test", "Bosse")


async def test_what_is_about_the_same_order_goes_though_it_does_not_hold_the_address(
    store: Store, shop: Any, url: str
) -> None:
    await keep(store, shop, "R1", order("R1", ANA))
    slack = shop.delivery("slack", state=DeliveryState.DONE, **request(text="Canaria Canariason got it, Joe"))
    later = await keep(store, shop, "R1", b'{"order": {"number": "R1"}}', slack)
    await store.people.erase(Person(ANA), FIELDS, shop.now)
    [delivery] = (await store.deliveries(event=later)).items
    assert delivery.request == {"text": "[erased] [erased] got it, Joe"}
    assert found_in_files(url, "canaria") == []


async def test_an_order_can_be_erased_by_its_number(store: Store, shop: Any, url: str) -> None:
    await keep(store, shop, "R1", order("R1", ANA))
    await keep(store, shop, "R2", order("R2", "bo@example.test", "Bosse"))
    erased = await store.people.erase(Person(subjects=("order:R1",)), FIELDS, shop.now)
    assert erased.rows == {"body": 1}
    assert found_in_files(url, "canar") == []
    assert b"bo@example.test" in ((await store.event("2")).body or b"")


async def test_what_was_still_to_be_sent_is_cancelled_with_the_reason_and_the_rest_is_not(
    store: Store, shop: Any
) -> None:
    deliveries = [
        shop.delivery("queued", **request(to=ANA)),
        shop.delivery("held", state=DeliveryState.HELD, **request(to=ANA)),
        shop.delivery("done", state=DeliveryState.DONE, **request(to=ANA)),
        shop.delivery("about nobody", **request(text="an order")),
    ]
    id = await keep(store, shop, "R1", order("R1", ANA), *deliveries)
    assert (await store.people.find(Person(ANA), FIELDS)).unsent == 2
    assert (await store.people.erase(Person(ANA), FIELDS, shop.now)).unsent == 2
    after = {one.rule: (one.state, one.reason) for one in (await store.deliveries(event=id)).items}
    assert after == {
        "queued": ("cancelled", BECAUSE), "held": ("cancelled", BECAUSE), "done": ("done", ""),
        "about nobody": ("queued", ""),
    }  # fmt: skip


async def test_what_is_being_sent_is_let_go_and_told(store: Store, shop: Any) -> None:
    await keep(store, shop, "R1", order("R1", ANA), shop.delivery(**request(to=ANA)))
    [delivery] = await store.claim(1, shop.now)
    erased = await store.people.erase(Person(ANA), FIELDS, shop.now)
    assert (erased.unsent, erased.under_way) == (0, 1)
    assert await store.finish([Finished(delivery.id, 1, "done", "250", f"queued for {ANA}")]) == [delivery.id]
    again = await store.people.erase(Person(ANA), FIELDS, shop.now)
    assert (again.rows, again.under_way) == ({"attempt": 1}, 0)


async def test_a_repeat_of_an_erased_event_is_still_a_repeat_and_brings_nothing_back(
    store: Store, shop: Any, url: str
) -> None:
    arrival = shop.arrival("R1", body=order("R1", ANA))
    await store.append(arrival, shop.now)
    await store.people.erase(Person(ANA), FIELDS, shop.now)
    assert (await store.append(arrival, shop.now)).repeat
    assert found_in_files(url, ANA) == []


async def test_an_erased_event_can_be_judged_again(store: Store, shop: Any) -> None:
    id = await keep(store, shop, "R1", order("R1", ANA))
    await store.people.erase(Person(ANA), FIELDS, shop.now)
    await store.replay(id)
    [event] = await store.take_new(1, shop.now)
    assert msgspec.json.decode(event.body)["order"]["email"] == "[erased]"


async def test_what_could_not_be_read_is_looked_through_too(store: Store, shop: Any, url: str) -> None:
    for body in (b'{"order": {"email": "' + ANA.encode(), ANA.encode("utf-16"), b"an order of nobody"):
        await store.quarantine(source="chord", reason="cut off", body=body, headers={}, received_at=shop.now)
    assert (await store.people.erase(Person(ANA), FIELDS, shop.now)).rows == {"quarantine": 2}
    assert [(await store.quarantined_body(number)).body for number in (1, 2, 3)] == [
        b'{"order": {"email": "[erased]', b"[erased]", b"an order of nobody",
    ]  # fmt: skip
    assert found_in_files(url, ANA) == []


@pytest.mark.parametrize("keep_in_memory", [1, 4096])
async def test_a_subject_that_names_the_person_goes_from_memory_and_from_its_table(
    open_store: Any, shop: Any, url: str, keep_in_memory: int
) -> None:
    store = await open_store(keep=keep_in_memory)
    for number in range(3):
        subject = f"person:{ANA}" if number == 0 else f"order:{number}"
        await store.append(
            shop.arrival(f"N{number}", subject=subject, aliases=(f"alias:{subject}",)), shop.now
        )
    await store.people.erase(Person(ANA), FIELDS, shop.now)
    for number in range(20):
        await store.append(shop.arrival(f"M{number}"), shop.now)
    assert (await store.event("1")).subject == "person:[erased]"
    assert found_in_files(url, ANA) == []


async def test_a_hundred_people_leave_no_trace_in_the_files_and_the_others_are_whole(
    store: Store, shop: Any, url: str
) -> None:
    """Rows of many sizes, so that pages are split, joined and reused."""
    chance = Random(7)
    for number in range(300):
        email = f"gone{number // 2}-canary@example.test" if number % 2 else f"stays{number}@example.test"
        name = f"Canaria{number // 2}" if number % 2 else f"Bosse{number}"
        body = order(f"R{number}", email, name, note="x" * chance.choice([0, 50, 900, 4000, 9000]))
        text = f"Dear {name}, " + "y" * chance.choice([10, 2000, 5000])
        await keep(store, shop, f"R{number}", body, shop.delivery(to=email, **request(to=email, text=text)))
    for number in range(0, 150, 15):
        await store.people.erase(Person(f"gone{number}-canary@example.test"), FIELDS, shop.now)
    gone = [f"gone{number}-canary" for number in range(0, 150, 15)] + ["Canaria15son", "7 Canaria30 Street"]
    assert found_in_files(url, *gone) == []
    assert len(found_in_files(url, "gone1-canary", "stays4@")) >= 2
    for number in range(300):
        assert (await store.event(str(number + 1))).intact


async def test_somebody_who_reads_holds_up_the_cleaning_of_the_files_and_that_is_said(
    store: Store, shop: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not url.startswith("sqlite"):
        pytest.skip("a shared database cleans its files by itself")
    monkeypatch.setattr("engine.store.people.PAUSE", 0.001)
    await keep(store, shop, "R1", order("R1", ANA))
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT * FROM body").fetchall()
    with pytest.raises(StillRead, match="another program reads them"):
        await store.people.erase(Person(ANA), FIELDS, shop.now)
    other.close()
    await store.people.erase(Person(ANA), FIELDS, shop.now)
    assert found_in_files(url, ANA) == []


async def test_events_go_on_coming_in_while_somebody_is_erased(store: Store, shop: Any) -> None:
    for number in range(50):
        await keep(store, shop, f"R{number}", order(f"R{number}", ANA))
    erasing = asyncio.ensure_future(store.people.erase(Person(ANA), FIELDS, shop.now))
    came = 0
    while not erasing.done():
        await store.append(shop.arrival(), shop.now)
        came += 1
    assert (await erasing).rows["body"] == 50
    assert came > 3


async def test_everything_kept_of_a_person_can_be_given_out_as_plain_json(
    store: Store, shop: Any, url: str
) -> None:
    id = await keep(store, shop, "R1", order("R1", ANA), shop.delivery(to=ANA, **request(to=ANA)))
    await keep(store, shop, "R2", order("R2", "bo@example.test", "Bosse"))
    await store.quarantine(
        source="chord", reason="cut", body=b"\xff" + ANA.encode(), headers={}, received_at=shop.now
    )
    with Reader(url) as record:
        said = export(record.runner, look(record.runner, Person(ANA), FIELDS))
    assert msgspec.json.decode(msgspec.json.encode(said)) == said
    assert set(said) == {"body", "delivery", "request", "quarantine"}
    assert said["body"][0]["body"]["order"]["email"] == ANA
    assert said["request"][0]["request"] == {"to": ANA}
    assert said["delivery"][0]["event_id"] == int(id)
    assert said["delivery"][0]["created_at"] == shop.now.isoformat()
    assert ANA in said["quarantine"][0]["body"]


async def test_somebody_unknown_is_not_found(store: Store, shop: Any) -> None:
    await keep(store, shop, "R1", order("R1", ANA))
    for person in (Person("nobody@example.test"), Person(subjects=("order:R9",)), Person()):
        assert await store.people.erase(person, FIELDS, shop.now) == Traced({})
    with pytest.raises(NotFound):
        await store.event("9")
