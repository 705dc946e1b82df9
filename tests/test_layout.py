"""The house keeps its order: each room imports only what it may, and pure rooms touch nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ENGINE = Path(__file__).parent.parent / "engine"

MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    "language": {"model", "language"},
    "timing": {"model", "language", "timing"},
    "actions": {"model", "language", "actions"},
    "sources": {"model", "language", "sources"},
    "rulebook": {"model", "language", "timing", "actions", "sources", "rulebook"},
    "store": {"model", "store"},
    "runtime": {"model", "language", "timing", "actions", "sources", "rulebook", "store", "runtime"},
}
"""The rooms and what each may import; the modules beside them (`app`, `cli`, …) wire everything."""

PURE = ("model", "language", "timing", "actions", "rulebook")
"""Rooms that touch nothing: an action reaches the network only through the services it is handed."""

TOUCHING = {"httpx", "aiohttp", "sqlite3", "sqlalchemy", "smtplib", "aiosmtplib", "starlette", "asyncio", "os", "random",
            "time", "socket", "subprocess"}  # fmt: skip


def _modules() -> Iterator[Path]:
    return (path for path in sorted(ENGINE.rglob("*.py")) if "migrations" not in path.parts)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "engine":
                yield from (f"engine.{alias.name}" for alias in node.names)


def _room(path: Path) -> str:
    return path.relative_to(ENGINE).parts[0].removesuffix(".py")


def test_each_room_imports_only_what_it_may() -> None:
    wrong = [
        f"{path.relative_to(ENGINE)} imports {name}"
        for path in _modules()
        if _room(path) in MAY_IMPORT
        for name in _imports(path)
        if name.startswith("engine.") and name.split(".")[1] not in MAY_IMPORT[_room(path)]
    ]
    assert not wrong


def test_pure_rooms_touch_neither_network_nor_files_nor_clock() -> None:
    wrong = [
        f"{path.relative_to(ENGINE)} imports {name}"
        for path in _modules()
        if _room(path) in PURE
        for name in _imports(path)
        if name.split(".")[0] in TOUCHING
    ]
    assert not wrong


def test_reading_what_arrived_touches_nothing() -> None:
    reading = [ENGINE / "sources" / "base.py", ENGINE / "sources" / "body.py"]
    reading += [ENGINE / "sources" / "chord" / name for name in ("__init__.py", "catalogue.py", "shop.py")]
    wrong = [
        f"{path.name} imports {name}"
        for path in reading
        for name in _imports(path)
        if name.split(".")[0] in TOUCHING
    ]
    assert not wrong


def test_every_folder_of_the_engine_is_a_room_of_the_house() -> None:
    folders = {path.name for path in ENGINE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= set(MAY_IMPORT) | {"commands", "gallery"}


@pytest.mark.parametrize("path", list(_modules()), ids=lambda path: path.relative_to(ENGINE).as_posix())
def test_each_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
