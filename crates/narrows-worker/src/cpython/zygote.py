"""Warms an interpreter up and forks a sealed evaluator from it whenever it is asked to.

The parent is a Rust zygote at the other end of descriptor 3. Evaluators become its children, not
ours: it reaps them and tells how they ended. The first message says how to seal them.
"""

import ctypes
import gc
import importlib
import json
import mmap
import os
import resource
import socket
import struct
import sys

CONTROL, EXIT_UNSEALED = 3, 66
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 1, 4, 22, 2
CLONE_PARENT, SIGCHLD, SIGKILL = 0x8000, 17, 9
# Beyond the limits of any run; the run's own come with its program.
ADDRESS_BYTES_MAX = 16 << 30

libc = ctypes.PyDLL(None, use_errno=True)


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def exactly(control, size):
    data = b""
    while len(data) < size:
        part = control.recv(size - len(data))
        if not part:
            os._exit(0)
        data += part
    return data


def prctl(what, *values):
    if libc.prctl(what, *(ctypes.c_ulong(value) for value in values), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {what}")


def forbid(program):
    """Applies a filter of system calls, given as its instructions."""
    code = ctypes.create_string_buffer(program, len(program))
    given = Filter(len(program) // 8, ctypes.cast(code, ctypes.c_char_p))
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def data_bytes():
    """Memory for data that this process has, found out by how little the kernel lets it have."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    low, high = 0, 4 << 30
    while high - low > 1 << 16:
        middle = (low + high) // 2
        resource.setrlimit(resource.RLIMIT_DATA, (middle, hard))
        try:
            mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE).close()
            high = middle
        except (OSError, MemoryError):
            low = middle
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    return high


def warm(config):
    sys.path[:] = [path for path in sys.path if path] + config["path"]
    missing = []
    for name in config["preload"]:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    evaluator = {"__name__": "evaluator"}
    exec(compile(config["evaluator"], "<evaluator>", "exec"), evaluator)
    return evaluator["run"], missing


def seal(config, link, parent):
    """Closes this process, before it reads a byte. An error means that it must end."""
    prctl(PR_SET_PDEATHSIG, SIGKILL)
    prctl(PR_SET_DUMPABLE, 0)
    if os.getppid() != parent:
        raise OSError("the zygote is gone")
    if link != CONTROL:
        os.dup2(link, CONTROL)
    for fd in (1, 2):
        os.dup2(0, fd)
    os.closerange(CONTROL + 1, 1 << 16)
    for name, most in (
        ("CORE", 0),
        ("FSIZE", 0),
        ("NPROC", 0),
        ("MEMLOCK", 0),
        ("MSGQUEUE", 0),
        ("NOFILE", 64),
        ("AS", ADDRESS_BYTES_MAX),
    ):
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}", 12), (most, most))
    for program in config["filters"]:
        forbid(program)


def fork(config):
    """A child of our parent."""
    libc.PyOS_BeforeFork()
    pid = libc.syscall(*(ctypes.c_long(n) for n in (config["clone"], CLONE_PARENT | SIGCHLD, 0, 0, 0, 0)))
    if pid == 0:
        libc.PyOS_AfterFork_Child()
    else:
        libc.PyOS_AfterFork_Parent()
    return pid


def main():
    control = socket.socket(fileno=CONTROL)
    (size,) = struct.unpack("<I", exactly(control, 4))
    config = json.loads(exactly(control, size))
    config["filters"] = [bytes.fromhex(text) for text in config["filters"]]
    run, missing = warm(config)
    prctl(PR_SET_DUMPABLE, 0)
    baseline = data_bytes() if config["filters"] else 0
    parent = os.getppid()
    gc.collect()
    gc.freeze()
    version = ".".join(map(str, sys.version_info[:3]))
    ready = json.dumps({"version": version, "missing": missing}).encode()
    control.sendall(struct.pack("<I", len(ready)) + ready)
    if config["once"]:
        seal(config, control.detach(), parent)
        run(CONTROL, baseline)
    while exactly(control, 1):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        pid = fork(config)
        if pid == 0:
            try:
                ours.close()
                seal(config, theirs.detach(), parent)
            except BaseException:
                os._exit(EXIT_UNSEALED)
            run(CONTROL, baseline)
        theirs.close()
        if pid < 0:
            socket.send_fds(control, [struct.pack("<i", -1)], [])
        else:
            socket.send_fds(control, [struct.pack("<i", pid)], [ours.fileno()])
        ours.close()


main()
