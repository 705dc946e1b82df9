"""A planner process in which an event does what its body tells: `{"do": "hang"}`. Started by test_planner_process.py.

The folders to import from are its arguments. What a deed returns, or what it was refused with, becomes the verdict.
"""

from __future__ import annotations

import ctypes
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:] = sys.argv[1:]

import _posixsubprocess  # noqa: E402

from engine.rulebook.frames import Verdict  # noqa: E402
from engine.runtime import planner_child  # noqa: E402
from engine.sources.body import parse  # noqa: E402

LIBC = ctypes.CDLL(None)
OWNER = os.getppid()


def hang() -> None:
    while True:
        pass


def hang_in_c() -> None:
    sum(range(10**15))


def end() -> None:
    os._exit(3)


def memory() -> None:
    kept = []
    while True:
        kept.append(bytes(50_000_000))


def nested_memory() -> Any:
    return [0] * (1 << 40)


def speak() -> str:
    print("not a frame, but much of it " * 1000)
    sys.stdout.flush()
    os.write(1, b"nor is this\n")
    return "spoke"


def fail() -> None:
    raise KeyError("ana@example.test")


def environment() -> str:
    return ",".join(sorted(os.environ))


def by_kernel(name: str, *args: Any) -> Callable[[], str]:
    """A call of the C library that asks Python nothing."""

    function = getattr(LIBC, name)

    def call() -> str:
        return "refused" if function(*args) == -1 else "done"

    return call


def fork_unseen() -> str:
    pid = _posixsubprocess.fork_exec(
        [b"/bin/true"], [b"/bin/true"], True, (), None, None, -1, -1, -1, -1, -1, -1, *os.pipe(), False, False, 0,
        None, None, None, -1, None, False,
    )  # fmt: skip
    return f"started {pid}"


DEEDS: dict[str, Callable[[], object]] = {
    "hang": hang,
    "hang in c": hang_in_c,
    "end": end,
    "memory": memory,
    "much at once": nested_memory,
    "speak": speak,
    "fail": fail,
    "environment": environment,
    "what is looked through": lambda: len(gc.get_objects()),
    "socket": socket.socket,
    "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
    "resolve": lambda: socket.getaddrinfo("localhost", 80),
    "program": lambda: subprocess.run(["/bin/true"], check=False),
    "shell": lambda: os.system("true"),
    "fork": os.fork,
    "fork unseen": fork_unseen,
    "write": lambda: Path("/tmp/shopbell-was-here").write_text("x"),
    "append": lambda: os.open(__file__, os.O_RDWR),
    "remove": lambda: os.remove(__file__),
    "kill": lambda: os.kill(OWNER, 9),
    "settings": lambda: Path("/etc/hostname").read_bytes(),
    "environment of the owner": lambda: Path(f"/proc/{OWNER}/environ").read_bytes(),
    "other files": lambda: os.listdir("/"),
    "up and away": lambda: Path(f"{os.path.dirname(os.__file__)}/../../../../../../etc/passwd").read_text(),
    "machine code": lambda: ctypes.CDLL("libc.so.6"),
    "kernel socket": by_kernel("socket", 2, 1, 0),
    "kernel fork": by_kernel("fork"),
    "kernel kill": by_kernel("kill", OWNER, 0),
    "kernel write": by_kernel("open", b"/tmp/shopbell-was-here", os.O_WRONLY | os.O_CREAT, 0o600),
    "kernel remove": by_kernel("unlink", b"/tmp/shopbell-was-here"),
    "kernel program": by_kernel("execl", b"/bin/true", b"/bin/true", None),
}

judge = planner_child.judge_one


def troubled(job: Any, *rest: Any) -> Verdict:
    deed = parse(job.event.body).get("do")
    if deed in (None, "fail", "memory", "much at once"):
        if deed is not None:
            planner_child.event_of = lambda job: DEEDS[deed]()  # type: ignore[assignment]
        try:
            return judge(job, *rest)
        finally:
            planner_child.event_of = event_of
    try:
        return Verdict(job.event.id, error=f"{DEEDS[deed]()}")
    except OSError as refusal:
        return Verdict(job.event.id, error=f"refused: {refusal}")


event_of = planner_child.event_of
planner_child.judge_one = troubled
if __name__ == "__main__":
    planner_child.main()
