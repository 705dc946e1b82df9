"""The sandbox's pages: plain HTML that works without scripts, and its style."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader

from engine.sources.chord.catalogue import EVENT_TYPES
from engine.sources.chord.faults import Fault
from engine.sources.chord.oms import Oms
from engine.sources.chord.repeats import TRIES, Endpoint

_PAGES = Environment(
    loader=PackageLoader("engine.sources.chord", "pages"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


def first_page(oms: Oms, told: str = "", *, wrong: bool = False) -> str:
    """All endpoints with their latest answers, and forms to add one, to send an event, to let the shop live."""
    return _page("first.html", oms=oms, told=told, wrong=wrong, endpoints=list(oms.endpoints.values()))


def endpoint_page(endpoint: Endpoint, told: str = "") -> str:
    """One endpoint: its latest answer, every try with its code, and a form to change or delete it."""
    return _page("endpoint.html", endpoint=endpoint, told=told, wrong=bool(told), tries=TRIES)


def style() -> str:
    """The style sheet of the pages."""
    return (resources.files(__name__) / "sandbox.css").read_text("utf-8")


def _page(name: str, **values: Any) -> str:
    return _PAGES.get_template(name).render(events=EVENT_TYPES, faults=Fault, **values)
