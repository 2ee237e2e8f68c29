"""Warms an interpreter up and forks a sealed evaluator from it whenever it is asked to.

The parent is a Rust zygote at the other end of descriptor 3. Evaluators become its children, not
ours: it reaps them and tells how they ended. The first message says how to seal them.
"""

import ctypes
import fcntl
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
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
# Connections that wait to be taken by whoever listens.
BACKLOG = 64
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, CAP_VERSION = 47, 4, 0x20080522
# System calls that have one number on every architecture.
MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT = 429, 430, 431, 432
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC, SET_STRING, CREATE, EMPTY_PATH = 1, 1, 1, 6, 4
NOSUID_NODEV_NOEXEC = 2 | 4 | 8
AT_FDCWD = -100
# Landlock's rights: to execute, to read a file and a folder; all but to execute, to make devices,
# sockets and pipes, and to command devices.
READ_FILE, READ_FOLDER, KEEP_FILES = 0b101, 0b1101, 0b111_0001_1011_1110
CONNECT_TCP, RULE_PATH, RULE_PORT = 2, 1, 2
# By Landlock's version: how many rights there are over files.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
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


def call(number, *values):
    given = [ctypes.c_long(value) if isinstance(value, int) else value for value in values]
    got = libc.syscall(ctypes.c_long(number), *given)
    if got < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return got


def enter(namespace):
    if libc.unshare(namespace) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def folder(config):
    """A folder in memory for one evaluator's files, which is nowhere yet."""
    context = call(FSOPEN, b"tmpfs", FSOPEN_CLOEXEC)
    try:
        # The folder itself is one file too.
        wanted = (b"size", config["disk_bytes"]), (b"nr_inodes", config["files"] + 1)
        for name, number in wanted:
            call(FSCONFIG, context, SET_STRING, name, b"%d" % number, 0)
        call(FSCONFIG, context, SET_STRING, b"mode", b"0700", 0)
        call(FSCONFIG, context, CREATE, None, None, 0)
        return call(FSMOUNT, context, FSMOUNT_CLOEXEC, NOSUID_NODEV_NOEXEC)
    finally:
        os.close(context)


def keeps_files(config):
    """Whether evaluators can have files of their own here: the right to mount, and a name for whom
    they belong to."""
    if not config["disk_bytes"]:
        return False
    try:
        enter(CLONE_NEWNS)
        mounted = folder({**config, "files": 1})
        try:
            os.mkdir("probe", dir_fd=mounted)
        finally:
            os.close(mounted)
    except OSError:
        return False
    return True


def door(port):
    """Enters a network of its own in which there is nothing but this port, on which somebody outside
    will listen: the next evaluator stays in it."""
    enter(CLONE_NEWNET)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    fcntl.ioctl(listener, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    listener.bind(("127.0.0.1", port))
    listener.listen(BACKLOG)
    return listener.detach()


def settle(config, mounted):
    """Moves into an evaluator's own folder, and gives up what that took."""
    if mounted is not None:
        enter(CLONE_NEWNS)
        call(MOVE_MOUNT, mounted, b"", AT_FDCWD, config["scratch"].encode(), EMPTY_PATH)
        os.chdir(config["scratch"])
    # So that the number of its tasks is its own.
    enter(CLONE_NEWUSER)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("<Ii", CAP_VERSION, 0)
    if libc.capset(header, bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    lock(config, mounted is not None)


def landlock_version():
    """Below 1 where the kernel has none."""
    return libc.syscall(ctypes.c_long(CREATE_RULESET), None, ctypes.c_long(0), ctypes.c_long(1))


def lock(config, keeps):
    """Landlock, as the zygote has it: what is visible can be read, its own folder be written, and
    its one port be reached."""
    version = landlock_version()
    if version < 1:
        return
    files = (1 << FILE_RIGHTS.get(version, 16)) - 1
    rights = struct.pack("<QQQ", files, 3, 3)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = call(CREATE_RULESET, rights, len(rights), 0)
    paths = [(path, READ_FOLDER if os.path.isdir(path) else READ_FILE) for path in config["visible"]]
    for path, access in paths + [(config["scratch"], KEEP_FILES)] * keeps:
        place = os.open(path, os.O_PATH)
        call(ADD_RULE, rules, RULE_PATH, struct.pack("<Qi", access & files, place), 0)
        os.close(place)
    if config["port"] and version >= 4:
        call(ADD_RULE, rules, RULE_PORT, struct.pack("<QQ", CONNECT_TCP, config["port"]), 0)
    call(RESTRICT_SELF, rules, 0)
    os.close(rules)


def keep_to_itself():
    """Lets no signal of this process reach another one, where the kernel can see to it."""
    if landlock_version() < 6:
        return
    rules = call(CREATE_RULESET, struct.pack("<QQQ", 0, 0, 3), 24, 0)
    call(RESTRICT_SELF, rules, 0)
    os.close(rules)


def taken(limit):
    """Memory that this process has, found out by how little the kernel lets it have."""
    _, hard = resource.getrlimit(limit)
    low, high = 0, 4 << 30
    while high - low > 1 << 16:
        middle = (low + high) // 2
        resource.setrlimit(limit, (middle, hard))
        try:
            mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE).close()
            high = middle
        except (OSError, MemoryError):
            low = middle
    resource.setrlimit(limit, (hard, hard))
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


def seal(config, link, parent, mounted=None):
    """Closes this process, before it reads a byte. An error means that it must end."""
    settles = mounted is not None or bool(config["port"])
    if settles:
        settle(config, mounted)
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
        ("FSIZE", 0 if mounted is None else config["disk_bytes"]),
        ("NPROC", config["processes"] if settles else 0),
        ("MEMLOCK", 0),
        ("MSGQUEUE", 0),
        ("NOFILE", 64),
        ("AS", ADDRESS_BYTES_MAX),
    ):
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}", 12), (most, most))
    if config["filters"] and not settles:
        keep_to_itself()
    for program in config["filters"]:
        forbid(program)


def fork(config):
    """A child of our parent."""
    libc.PyOS_BeforeFork()
    try:
        pid = call(config["clone"], CLONE_PARENT | SIGCHLD, 0, 0, 0, 0)
    except OSError:
        pid = -1
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
    keeps = bool(config["filters"]) and keeps_files(config)
    baseline = None
    if config["filters"]:
        baseline = taken(resource.RLIMIT_DATA), taken(resource.RLIMIT_AS)
    parent = os.getppid()
    gc.collect()
    gc.freeze()
    version = ".".join(map(str, sys.version_info[:3]))
    ready = json.dumps({"version": version, "missing": missing}).encode()
    control.sendall(struct.pack("<I", len(ready)) + ready)
    if config["once"]:
        seal(config, control.detach(), parent)
        run(CONTROL, baseline, None)
    while exactly(control, 1):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        mounted, opened = None, []
        try:
            mounted = folder(config) if keeps else None
            opened = [door(config["port"])] if config["port"] else []
            pid = fork(config)
        except OSError:
            # What the kernel has too little of now: others run on.
            pid = -1
        if pid == 0:
            try:
                ours.close()
                seal(config, theirs.detach(), parent, mounted)
            except BaseException:
                os._exit(EXIT_UNSEALED)
            run(CONTROL, baseline, config["scratch"] if keeps else None)
        theirs.close()
        if pid < 0:
            socket.send_fds(control, [struct.pack("<i", -1)], [])
        else:
            shared = [ours.fileno(), *opened] + [mounted] * keeps
            socket.send_fds(control, [struct.pack("<i", pid)], shared)
        ours.close()
        for fd in opened + [mounted] * (mounted is not None):
            os.close(fd)


main()
