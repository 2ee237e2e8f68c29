"""Evaluates one program, whose reader sits at the other end of a socket.

The reader (a sealed Rust worker) has parsed and checked the program; this speaks the host's frames
through it: Call, Log, Progress, Show, Idle, Done out, Reply and Ping in. Nothing here is a wall:
the process was sealed before the first byte of the program came.
"""

import ast
import asyncio
import builtins
import gc
import json
import linecache
import os
import random
import resource
import struct
import sys
import threading
import time
import traceback
import types

SCRIPT = "program.py"
MARK = "\u01c1"
REPLY, PING = 3, 4
CALL, LOG, PROGRESS, SHOW, DONE, IDLE = 66, 67, 68, 69, 70, 71
EXIT_LINK = 67
LINE_BYTES_MAX = 8 << 10
MESSAGE_BYTES_MAX = 8 << 10
NOTICE_BYTES_MAX = 600
NOTICES_MAX = 10_000
WAKES_MAX = 10_000
FRAMES_MAX = 16
# Memory in which the end is told once the program's own has run out.
LAST_WORDS_BYTES = 8 << 20
# Address space beyond that: the code of packages, which is a file's and no memory of the run's.
CODE_BYTES_MAX = 1 << 30

real_monotonic = time.monotonic


class ToolError(RuntimeError):
    """A tool failed."""

    tool = ""
    arguments = ""


ToolError.__module__ = "builtins"


class Stop(BaseException):
    """The run is over, whatever the program catches."""

    def __init__(self, end):
        super().__init__("the run is over")
        self.end = end


def clip(text, bytes_max):
    data = text.encode("utf-8", "replace")
    if len(data) <= bytes_max:
        return data.decode()
    return data[: bytes_max - 3].decode("utf-8", "ignore") + "..."


def dumps(value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


class Wire:
    """Frames over one socket."""

    def __init__(self, fd):
        self.fd = fd
        self.sending = threading.RLock()

    def send(self, kind, payload=b""):
        data = memoryview(struct.pack("<IB", len(payload) + 1, kind) + payload)
        try:
            with self.sending:
                while data:
                    data = data[os.write(self.fd, data) :]
        except OSError:
            os._exit(EXIT_LINK)

    def exact(self, size):
        parts = []
        while size:
            try:
                part = os.read(self.fd, min(size, 1 << 20))
            except OSError:
                part = b""
            if not part:
                os._exit(EXIT_LINK)
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def receive(self):
        size, kind = struct.unpack("<IB", self.exact(5))
        return kind, self.exact(size - 1)


class Output:
    """What is printed, line by line, within the run's budget."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, host, level):
        self.host, self.level, self.line = host, level, ""

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        *lines, rest = text.split("\n")
        for line in lines:
            self.end_line(line)
        self.line = (self.line + rest)[: LINE_BYTES_MAX + 4]
        return len(text)

    def end_line(self, more=""):
        line, self.line = self.line + more, ""
        self.host.log(self.level, clip(line[: LINE_BYTES_MAX + 4], LINE_BYTES_MAX))

    def flush(self):
        pass

    def isatty(self):
        return False

    def writable(self):
        return True

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def fileno(self):
        raise OSError("no file stands behind print")


class Clock:
    """The time that a program sees: it passes with what the host tells, with sleeping, and by one
    microsecond for each look at it."""

    def __init__(self, unix_ms):
        self.unix_us, self.now_us, self.ahead_us = unix_ms * 1000, 0, 0

    def look(self):
        seen = self.now_us
        self.now_us += 1
        return seen

    def look_unix(self):
        return self.unix_us + self.look()

    def told(self, at_us):
        self.now_us = max(self.now_us, at_us + self.ahead_us)

    def jump(self, to_us):
        by = max(0, to_us - self.now_us)
        self.now_us += by
        self.ahead_us += by


class Host:
    """Whoever answers calls."""

    def __init__(self, wire, limits, clock):
        self.wire, self.limits, self.clock = wire, limits, clock
        self.loop = None
        self.pending = {}
        self.replies = {}
        self.wakes = {}
        self.calls = self.tool_calls = self.notices = 0
        self.shown = self.logged = self.dropped = 0
        # Whoever has it hears for all threads.
        self.hearing = threading.RLock()
        self.closing = threading.Lock()
        self.over = self.scratch = None

    def stop(self, end):
        """Ends the run. In a thread beside the first nobody would hear an exception."""
        if threading.current_thread() is not threading.main_thread():
            self.over(end)
        raise Stop(end)

    def log(self, level, text):
        size = len(text.encode("utf-8", "replace")) + 1
        # Once a line did not fit, later ones are dropped too: no gaps in what is shown.
        if self.dropped or self.logged + size > self.limits["log_bytes"]:
            self.dropped += 1
            return
        self.logged += size
        self.wire.send(LOG, dumps({"level": level, "text": text}))

    def finish(self):
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, Output) and stream.line:
                stream.end_line()
        if self.dropped:
            bytes_max = self.limits["log_bytes"]
            text = f"{self.dropped} more lines dropped: log_bytes is {bytes_max}"
            self.wire.send(LOG, dumps({"level": "warn", "text": text}))

    def send_call(self, server, tool, args, future=None):
        with self.wire.sending:
            self.calls += 1
            id = self.calls
            head = dumps({"id": id, "server": server, "tool": tool})
            self.pending[id] = future
            self.wire.send(CALL, head[:-1] + b',"args":' + args + b"}")
        return id

    def call(self, server, tool, args, wait):
        """Sends a call; gives its result, or a future of it."""
        if self.tool_calls >= self.limits["calls"]:
            self.stop({"limit": "calls"})
        self.tool_calls += 1
        if not wait:
            future = self.loop.create_future()
            self.send_call(server, tool, args, future)
            return future
        id = self.send_call(server, tool, args)
        while id not in self.replies:
            with self.hearing:
                if id not in self.replies:
                    self.receive()
        result, error = self.replies.pop(id)
        if error is not None:
            raise error
        return result

    def wait(self, due_us):
        """Nothing can run: waits for a reply, or for the time when a timer is due."""
        if not any(future is not None and not future.done() for future in self.pending.values()):
            if due_us is None:
                raise Stop("deadlock")
            self.clock.jump(due_us)
            return
        if due_us is not None:
            until_us = max(0, due_us - self.clock.ahead_us)
            if until_us not in self.wakes.values() and len(self.wakes) < WAKES_MAX:
                args = dumps({"until_us": until_us})
                self.wakes[self.send_call("narrows", "wait", args)] = until_us
        with self.hearing:
            # Another thread may have heard meanwhile.
            if not self.loop._ready:
                self.receive()

    def receive(self):
        while True:
            kind, payload = self.wire.receive()
            if kind == PING:
                self.wire.send(IDLE)
            elif kind == REPLY:
                break
            else:
                os._exit(EXIT_LINK)
        id, good, at_us = struct.unpack_from("<IBQ", payload)
        body = payload[13:]
        self.clock.told(at_us)
        if id in self.wakes:
            self.pending.pop(id, None)
            self.clock.told(self.wakes.pop(id))
            return
        if id not in self.pending:
            os._exit(EXIT_LINK)
        if len(body) > self.limits["result_bytes"]:
            self.stop({"limit": "result_bytes"})
        future = self.pending.pop(id)
        result = error = None
        try:
            if good:
                result = json.loads(body)
            else:
                error = failed(json.loads(body))
        except (ValueError, RecursionError) as why:
            error = ToolError(f"the result is no json that fits here: {why}")
        if future is None:
            self.replies[id] = (result, error)
        elif not future.done():
            future.set_exception(error) if error else future.set_result(result)

    def progress(self, fraction=None, message=None):
        if isinstance(fraction, str) and message is None:
            message = fraction
        number = isinstance(fraction, (int, float)) and not isinstance(fraction, bool)
        fraction = min(1.0, max(0.0, float(fraction))) if number and fraction == fraction else None
        if self.notices < NOTICES_MAX:
            self.notices += 1
            message = clip("" if message is None else str(message), NOTICE_BYTES_MAX)
            self.wire.send(PROGRESS, dumps({"fraction": fraction, "message": message}))

    def show(self, value):
        data = encode(value, True)
        self.shown += len(data)
        if self.shown > self.limits["value_bytes"]:
            self.stop({"limit": "value_bytes"})
        self.wire.send(SHOW, data)


def failed(error):
    arguments = error.get("arguments", "")
    message = f"{error['tool']}: {error['message']}"
    if arguments:
        message += f" (sent {arguments})"
    found = ToolError(clip(message, MESSAGE_BYTES_MAX))
    found.tool, found.arguments = error["tool"], arguments
    return found


class Selector:
    """What the event loop waits with."""

    def __init__(self, host):
        self.host = host

    def select(self, timeout=None):
        if timeout is None:
            self.host.wait(None)
        elif timeout > 0:
            loop = self.host.loop
            self.host.wait(int(loop._scheduled[0]._when * 1e6) + 1)
        return ()

    def close(self):
        pass


class Loop(asyncio.BaseEventLoop):
    """The one event loop, on the program's own clock."""

    def __init__(self, host):
        super().__init__()
        self._selector = Selector(host)
        self.host = host
        host.loop = self

    def time(self):
        return self.host.clock.now_us / 1e6

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass

    def close(self):
        pass

    def run_in_executor(self, executor, function, *args):
        future = self.create_future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context):
        pass

    def run(self, main, *, debug=None, loop_factory=None):
        """`asyncio.run`, also where the loop runs already."""
        if not self.is_running():
            return self.run_until_complete(main)
        task = asyncio.ensure_future(main, loop=self)
        outer = asyncio.current_task(self)
        asyncio.tasks._leave_task(self, outer)
        try:
            while not task.done():
                self._run_once()
        finally:
            asyncio.tasks._enter_task(self, outer)
        return task.result()

    def run_until_complete(self, future):
        if self.is_running():
            return self.run(future)
        return super().run_until_complete(future)


class Policy(asyncio.DefaultEventLoopPolicy):
    """Everybody gets the one loop."""

    def __init__(self, loop):
        super().__init__()
        self.loop = loop

    def get_event_loop(self):
        return self.loop

    new_event_loop = get_event_loop

    def set_event_loop(self, loop):
        pass
