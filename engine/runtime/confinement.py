"""What the planner process gives up before it judges: much memory, the network, other programs, writing and most reading.

Three walls, the outer ones as far as the system has them. Limits of the system bound memory and forbid files to grow.
An audit hook refuses, with a sentence, what Python itself is asked to do; it stops slips and half escapes, but not
machine code. On Linux the kernel refuses the same by system call, and that holds for whatever runs in the process.
"""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
import zoneinfo
from collections.abc import Callable, Iterator

MEMORY = 1 << 30
"""Bytes of address space that planning may take."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

REFUSED = (
    "socket.", "ssl.", "urllib.", "http.", "ftplib.", "smtplib.", "poplib.", "imaplib.", "sqlite3.",
    "subprocess.", "os.exec", "os.system", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "pty.",
    "os.kill", "signal.", "ctypes.", "mmap.", "fcntl.", "resource.", "syslog.", "webbrowser.", "winreg.", "msvcrt.",
    "shutil.", "tempfile.", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "os.chown", "os.chflags", "os.lchmod", "os.utime", "os.setxattr", "os.removexattr", "os.chdir",
    "os.putenv", "os.unsetenv", "sys.settrace", "sys.setprofile", "cpython.run_",
)  # fmt: skip
"""The beginnings of what is refused, as Python's audit events call it."""


def confine(memory: int = MEMORY) -> None:
    """Give it all up, for good."""
    _limit(memory)
    _forbid()
    sys.addaudithook(_hook(tuple(_own_folders())))


def _limit(memory: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows: there the deadline alone holds
        return
    for limit, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)):
        hard = resource.getrlimit(limit)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS knows the limit of memory but does not take it
            resource.setrlimit(limit, (most, most))


def _own_folders() -> Iterator[str]:
    """Where the interpreter, its libraries, this engine and the time zones are: all that may be read."""
    yield from (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    yield from zoneinfo.TZPATH
    for name, module in list(sys.modules.items()):
        if "." not in name and getattr(module, "__file__", None):
            yield os.path.dirname(os.path.abspath(str(module.__file__)))


def _hook(readable: tuple[str, ...]) -> Callable[[str, tuple[object, ...]], None]:
    folders = tuple({folder.rstrip(os.sep) + os.sep for folder in readable if folder})

    def may_read(path: object) -> bool:
        return isinstance(path, str) and f"{os.path.abspath(path)}{os.sep}".startswith(folders)

    def refuse(event: str, args: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & WRITING:
                raise PermissionError("planning may not write files")
            if not may_read(path):
                raise PermissionError("planning may not read this file")
        elif event in ("os.listdir", "os.scandir"):
            if not may_read(args[0]):
                raise PermissionError("planning may not look into this folder")
        elif event.startswith(REFUSED):
            raise PermissionError(f"planning may not do this: {event}")

    return refuse


# the kernel's wall

_SET_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_REFUSE, _ALLOW = 0x0005_0001, 0x7FFF_0000  # the first with EPERM
_LOAD, _EQUAL, _ANY_BIT, _ANSWER = 0x20, 0x15, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _SECOND, _THIRD = 0, 4, 24, 32
_OTHER_NUMBERING = 0x4000_0000
_STEP = 8

_ARCHITECTURES = {"x86_64": (0xC000_003E, 0), "aarch64": (0xC000_00B7, 1)}
"""The architectures whose numbers are known: how the kernel calls each, and its place in the pairs below."""

_OPENING = {"open": ((2, None), _SECOND), "openat": ((257, 56), _THIRD)}
"""What opens a file, by its numbers, and the place of the argument that says how."""

_FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    # the network
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "sendto": (44, 206), "sendmsg": (46, 211), "io_uring_setup": (425, 425),
    # programs, processes, threads, and other processes
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None), "clone": (56, 220),
    "clone3": (435, 435), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "ptrace": (101, 117),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "bpf": (321, 280), "userfaultfd": (323, 282),
    # files
    "creat": (85, None), "openat2": (437, 437), "truncate": (76, 45), "ftruncate": (77, 46), "rename": (82, None),
    "renameat": (264, 38), "renameat2": (316, 276), "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None),
    "link": (86, None), "linkat": (265, 37), "unlink": (87, None), "unlinkat": (263, 35), "symlink": (88, None),
    "symlinkat": (266, 36), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "mknod": (133, None),
    "mknodat": (259, 33), "mount": (165, 40),
}  # fmt: skip
"""System calls that planning never needs, with their numbers on either architecture."""


def _forbid() -> None:
    """Have the kernel refuse those system calls from now on, where it is a Linux whose numbers are known."""
    known = _ARCHITECTURES.get(os.uname().machine) if sys.platform == "linux" else None
    if known is None or sys.maxsize < 1 << 32:
        return
    import ctypes

    code = b"".join(_program(*known))
    steps = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    call = ctypes.CDLL(None).prctl
    program = Program(len(code) // _STEP, ctypes.addressof(steps))
    # A kernel that was built without it answers with an error: then the other walls stand alone.
    if call(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0:
        call(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)


def _program(architecture: int, place: int) -> Iterator[bytes]:
    """The filter in the kernel's own code: what is refused by its number, opening a file by its flags."""
    yield _step(_LOAD, _ARCHITECTURE)
    yield _step(_EQUAL, architecture, 1, 0)
    yield _step(_ANSWER, _REFUSE)  # another numbering, as programs of 32 bits use it
    yield _step(_LOAD, _NUMBER)
    yield _step(_ANY_BIT, _OTHER_NUMBERING, 0, 1)
    yield _step(_ANSWER, _REFUSE)
    for number in (pair[place] for pair in _FORBIDDEN.values()):
        if number is not None:
            yield _step(_EQUAL, number, 0, 1)
            yield _step(_ANSWER, _REFUSE)
    for numbers, flags in _OPENING.values():
        if (number := numbers[place]) is not None:
            yield _step(_EQUAL, number, 0, 4)
            yield _step(_LOAD, flags)
            yield _step(_ANY_BIT, WRITING, 0, 1)
            yield _step(_ANSWER, _REFUSE)
            yield _step(_ANSWER, _ALLOW)
    yield _step(_ANSWER, _ALLOW)


def _step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return code.to_bytes(2, sys.byteorder) + bytes((if_so, if_not)) + value.to_bytes(4, sys.byteorder)
