"""The client registers, lists, changes and deletes endpoints over real HTTP, and says plainly what fails."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from engine.sources.chord.client import OmsClient, OmsError
from engine.sources.chord.sandbox import build_sandbox

TOKEN = "t0k3n-of-the-test"
TARGET = "https://example.com/my/webhook/endpoint"


@pytest.fixture
def sandbox(served: Any) -> Iterator[str]:
    with served(build_sandbox(token=TOKEN)) as url:
        yield url


@pytest.fixture
def oms(sandbox: str) -> Iterator[OmsClient]:
    with OmsClient(sandbox, TOKEN) as client:
        yield client


def failure(url: str, token: str = TOKEN, **more: Any) -> str:
    with OmsClient(url, token, **more) as client, pytest.raises(OmsError) as raised:
        client.endpoints()
    assert token not in str(raised.value)
    return str(raised.value)


def test_an_endpoint_is_registered_as_in_the_guide(oms: OmsClient) -> None:
    """Guide, "Add endpoints with the API"."""
    endpoint = oms.create(TARGET, ["order_completed", "order_cancelled"])
    assert (endpoint.target_url, endpoint.events) == (TARGET, ("order_completed", "order_cancelled"))
    assert oms.endpoints() == [endpoint]


def test_endpoints_are_updated_and_deleted(oms: OmsClient) -> None:
    """Guide, "Manage webhook endpoints"."""
    first, second = oms.create(TARGET, ["order_completed"]), oms.create(TARGET, ["shipment_shipped"])
    changed = oms.update(first.id, events=["order_cancelled"])
    assert (changed.target_url, changed.events) == (TARGET, ("order_cancelled",))
    moved = oms.update(first.id, target_url="https://example.com/other")
    assert (moved.target_url, moved.events) == ("https://example.com/other", ("order_cancelled",))
    oms.delete(second.id)
    assert oms.endpoints() == [moved]


def test_the_address_may_also_be_that_of_the_collection(sandbox: str) -> None:
    with OmsClient(f"{sandbox}/api/webhook/endpoints/", TOKEN) as client:
        assert client.endpoints() == []


def test_a_refused_token_is_named_but_not_shown(sandbox: str) -> None:
    said = failure(sandbox, "wrong-t0k3n")
    assert said == (
        f"The OMS at {sandbox} refused the token (code 401). Make a new one there, or check the setting."
    )


def test_the_reasons_of_the_oms_are_passed_on(oms: OmsClient) -> None:
    with pytest.raises(OmsError) as raised:
        oms.create(TARGET, ["order_canceled"])
    assert str(raised.value) == (
        'The OMS did not take it: The OMS has no event "order_canceled". Did you mean order_cancelled?'
    )


def test_an_unknown_endpoint_is_said_to_be_unknown(oms: OmsClient, sandbox: str) -> None:
    with pytest.raises(OmsError) as raised:
        oms.delete("7")
    assert str(raised.value) == f"The OMS at {sandbox} has no endpoint 7."


def test_an_address_without_the_api_is_doubted(sandbox: str) -> None:
    said = failure(f"{sandbox}/shop")
    assert said == f"The OMS at {sandbox}/shop has no API for webhook endpoints; is this its address?"


def test_an_address_where_nobody_listens_is_said_to_be_out_of_reach(nobody: str) -> None:
    assert failure(nobody) == (
        f"The OMS at {nobody} cannot be reached: the connection was refused, or the name is not known."
    )


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("oms.example.com", "must start with https:// (or http://)"),
        ("ftp://oms.example.com", "must start with https:// (or http://)"),
        ("http://[", "is not a web address"),
        ("http://a b", "has a blank or a backslash in it"),
        ("https:///x", "has no host"),
    ],
)
def test_an_address_that_is_none_is_refused_with_an_example(url: str, fault: str) -> None:
    assert failure(url) == f"The address of the OMS {fault}. Write for example https://oms.example.com"


def test_an_oms_that_does_not_answer_is_given_up_after_the_patience() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        said = failure(url, patience=0.2)
    assert said == f"The OMS at {url} did not answer within 0.2 seconds. Try again later."


def test_a_redirect_is_not_followed_with_the_token(receiver: Any) -> None:
    with receiver(200) as elsewhere, receiver(301, headers={"Location": elsewhere.url}) as moved:
        assert failure(moved.url) == f"The OMS at {moved.url} sends on to {elsewhere.url}. Use that address."
        assert elsewhere.bodies == []


@pytest.mark.parametrize(
    "answer", [b"<h1>Welcome</h1>", b'{"orders": []}', b'[{"id": 1}]', b"\xff", b"null", b""]
)
def test_an_answer_that_is_no_list_of_endpoints_is_doubted(receiver: Any, answer: bytes) -> None:
    with receiver(200, answer=answer) as other:
        said = failure(other.url)
    assert "Is this the OMS's address?" in said


@pytest.mark.parametrize(
    "answer",
    [
        b'[{"id": 3, "target_url": "https://a.example/x", "events": ["order_completed"]}]',
        b'{"endpoints": [{"id": "3", "target_url": "https://a.example/x", "events": ["order_completed"]}]}',
        b'{"data": [{"endpoint": {"id": 3, "target_url": "https://a.example/x", "events": ["order_completed"]}}]}',
    ],
)
def test_a_list_is_read_in_the_usual_wrappings(receiver: Any, answer: bytes) -> None:
    with receiver(200, answer=answer) as other, OmsClient(other.url, TOKEN) as client:
        (endpoint,) = client.endpoints()
    assert (endpoint.id, endpoint.target_url, endpoint.events) == (
        "3",
        "https://a.example/x",
        ("order_completed",),
    )


def test_an_endless_answer_is_cut_off(receiver: Any) -> None:
    with receiver(200, answer=b"[" + b" " * 2_000_000) as chatty:
        assert failure(chatty.url) == (
            f"The OMS at {chatty.url} sent more than 1,000,000 bytes; is this its address?"
        )


def test_a_token_that_is_echoed_is_taken_out_of_the_message(receiver: Any) -> None:
    echo = f'{{"errors": {{"token": ["{TOKEN} is odd"]}}}}'.encode()
    with receiver(500, answer=echo) as echoing:
        assert failure(echoing.url) == f"The OMS at {echoing.url} answered with code 500: token: … is odd"
