"""One program, from its text to its end."""

import datetime as datetimes
import errno


# What Python says where the system has no more threads for it.
NO_THREAD = "can't start new thread"
# Memory of a thread's stack.
STACK_BYTES = 1 << 20


def virtual(clock):
    """Has Python's clocks show the program's time, always in UTC."""

    def unix():
        return clock.look_unix() / 1e6

    def since():
        return clock.look() / 1e6

    def sleep(seconds):
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        clock.jump(clock.now_us + int(seconds * 1e6))

    def of(function):
        return lambda seconds=None: function(unix() if seconds is None else seconds)

    def clock_gettime_ns(which):
        since_1970 = which in {getattr(time, name, None) for name in ("CLOCK_REALTIME", "CLOCK_TAI")}
        return (clock.look_unix() if since_1970 else clock.look()) * 1000

    time.time, time.time_ns = unix, lambda: clock.look_unix() * 1000
    time.clock_gettime_ns = clock_gettime_ns
    time.clock_gettime = lambda which: clock_gettime_ns(which) / 1e9
    for name in ("monotonic", "perf_counter", "process_time", "thread_time"):
        setattr(time, name, since)
        setattr(time, f"{name}_ns", lambda: clock.look() * 1000)
    time.sleep = sleep
    ctime, strftime, asctime = time.ctime, time.strftime, time.asctime
    time.gmtime, time.localtime = of(time.gmtime), of(time.localtime)
    time.ctime = of(ctime)
    time.strftime = lambda form, parts=None: strftime(form, parts or time.gmtime())
    time.asctime = lambda parts=None: asctime(parts or time.gmtime())
    dates(clock)


def dates(clock):
    date, datetime = datetimes.date, datetimes.datetime
    real = {}
    own, own_subclass = type.__instancecheck__, type.__subclasscheck__

    class Kind(type):
        def __instancecheck__(cls, value):
            return isinstance(value, real[cls]) if cls in real else own(cls, value)

        def __subclasscheck__(cls, other):
            return issubclass(other, real[cls]) if cls in real else own_subclass(cls, other)

    class Date(date, metaclass=Kind):
        @classmethod
        def today(cls):
            return cls.fromtimestamp(clock.look_unix() / 1e6)

        def __repr__(self):
            return "datetime." + super().__repr__()

    class Datetime(datetime, metaclass=Kind):
        @classmethod
        def now(cls, tz=None):
            start = cls(1970, 1, 1, tzinfo=datetimes.timezone.utc)
            moment = start + datetimes.timedelta(microseconds=clock.look_unix())
            return moment.replace(tzinfo=None) if tz is None else moment.astimezone(tz)

        @classmethod
        def utcnow(cls):
            return cls.now()

        @classmethod
        def today(cls):
            return cls.now()

        def date(self):
            return Date(self.year, self.month, self.day)

        def __repr__(self):
            return "datetime." + super().__repr__()

    for kind, name, stock in ((Date, "date", date), (Datetime, "datetime", datetime)):
        real[kind] = stock
        kind.__name__ = kind.__qualname__ = name
        kind.__module__ = "datetime"
        setattr(datetimes, name, kind)


def seeded(seed):
    """Has Python's random numbers follow from the run's seed."""
    source = random.Random(seed)
    os.urandom = random._urandom = source.randbytes
    os.getrandom = lambda size, flags=0: source.randbytes(size)
    stock = random.Random.seed

    def reseed(self, a=None, version=2):
        # Without a seed it would ask the kernel for one.
        stock(self, source.getrandbits(256) if a is None else a, version)

    random.Random.seed = reseed
    random.seed = random._inst.seed
    random.seed(seed)
    # An address of its own, and no library that knows the machine's.
    uuid._node = source.getrandbits(48) | 1 << 40
    uuid._generate_time_safe = uuid._UuidCreate = None


class Outermost(ast.NodeTransformer):
    """Makes a module's statements those of a function whose names are all global."""

    def __init__(self):
        self.waits = False

    def leave(self, node):
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = leave

    def visit_Await(self, node):
        self.waits = True
        return self.generic_visit(node)

    visit_AsyncFor = visit_AsyncWith = visit_Await

    def visit_comprehension(self, node):
        self.waits |= bool(node.is_async)
        return self.generic_visit(node)

    def visit_Yield(self, node):
        raise SyntaxError("'yield' outside function", (SCRIPT, node.lineno, node.col_offset, None))

    visit_YieldFrom = visit_Yield

    def visit_AnnAssign(self, node):
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        self.generic_visit(node)
        return ast.copy_location(ast.Assign([node.target], node.value), node)


def compiled(text, names):
    """The program as a function `__program__`; whether it is asynchronous."""
    tree = ast.parse(text, SCRIPT)
    outermost = Outermost()
    body = outermost.visit(tree).body
    star = lambda s: any(alias.name == "*" for alias in s.names)
    hoisted = [
        s for s in body if isinstance(s, ast.ImportFrom) and (s.module == "__future__" or star(s))
    ]
    body = [s for s in body if s not in hoisted]
    if names:
        body.insert(0, ast.Global(names))
    none = ast.arguments([], [], None, [], [], None, [])
    kind = ast.AsyncFunctionDef if outermost.waits else ast.FunctionDef
    function = kind("__program__", none, body or [ast.Pass()], [], None)
    function.type_params = []
    module = ast.fix_missing_locations(ast.Module([*hoisted, function], []))
    return compile(module, SCRIPT, "exec", dont_inherit=True), outermost.waits


def places(error, lines):
    """Where an error arose in the program's own text, innermost first."""
    found = []
    trace = error.__traceback__
    while trace:
        code = trace.tb_frame.f_code
        if code.co_filename == SCRIPT:
            line, column = trace.tb_lineno, 0
            if hasattr(code, "co_positions"):
                spots = list(code.co_positions())
                spot = spots[trace.tb_lasti // 2] if trace.tb_lasti >= 0 else (None,) * 4
                line, column = spot[0] or line, spot[2] or 0
            found.append(place(line, column, lines))
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == SCRIPT and error.lineno:
        found.append({"line": error.lineno, "column": max(1, error.offset or 1)})
    return found[::-1][:FRAMES_MAX]


def place(line, column, lines):
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    before = text.encode("utf-8", "replace")[:column].decode("utf-8", "ignore")
    return {"line": line, "column": len(before) + 1}


def full(error, scratch):
    """The limit at which no file could be written."""
    try:
        found = os.statvfs(scratch or "/")
    except OSError:
        return "disk_bytes"
    return "files" if error.errno == errno.ENOSPC and not found.f_ffree else "disk_bytes"


def end_of(error, lines, scratch):
    """How an exception that nobody caught ends the run."""
    if isinstance(error, MemoryError):
        return {"limit": "memory_bytes"}
    if isinstance(error, RecursionError):
        return {"limit": "stack"}
    if isinstance(error, RuntimeError) and str(error) == NO_THREAD and scratch:
        return {"limit": "processes"}
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return {"limit": full(error, scratch)}
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return {"value": None}
    try:
        message = str(error)
    except Exception:
        message = ""
    if isinstance(error, TypeError) and ("coroutine" in message or "Future" in message):
        message += "; is an await missing before a tool call?"
    message = clip(message, MESSAGE_BYTES_MAX)
    threw = {"name": type(error).__name__[:200], "message": message, "at": places(error, lines)}
    return {"threw": threw}


def evaluate(begin, host, loop):
    text = begin["text"]
    lines = text.split("\n")
    linecache.cache[SCRIPT] = (len(text), None, [line + "\n" for line in lines], SCRIPT)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    module.__dict__.update(World(host, begin).globals(), input=begin["input"])
    # Whatever the program does to its thread of control, its end is told once.
    try:
        code, waits = compiled(text, begin["names"])
        exec(code, module.__dict__)
        main = module.__dict__.pop("__program__")
        value = loop.run(main()) if waits else main()
        data = encode(value, True)
        if len(data) > host.limits["value_bytes"]:
            return {"limit": "value_bytes"}, None
        return {"value": None}, data
    except Stop as stop:
        return stop.end, None
    except Unfit as why:
        return {"threw": {"name": "ValueError", "message": str(why), "at": []}}, None
    except BaseException as error:
        end = end_of(error, lines, host.scratch)
        traceback.clear_frames(error.__traceback__)
        return end, None


def run(fd, baseline, scratch):
    """Reads one program from a socket, runs it, and ends this process. `baseline`: bytes of data and
    of address space that it has before; none where nothing limits it. `scratch` is where its own
    files are, if it may have any."""
    wire = Wire(fd)
    _, payload = wire.receive()
    begin = json.loads(payload)
    limits = begin["limits"]
    confine(limits, baseline, scratch)
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = real_monotonic()
    clock = Clock(begin["now_ms"])
    host = Host(wire, limits, clock)
    host.scratch = scratch
    loop = Loop(host)
    asyncio.set_event_loop_policy(Policy(loop))
    asyncio.run = loop.run
    sys.stdout, sys.stderr = Output(host, "info"), Output(host, "warn")
    sys.argv, sys.stdin = [SCRIPT], None
    virtual(clock)
    seeded(begin["seed"])
    finish = lambda end, data=None: close(host, (before, began), baseline, (end, data))
    host.over = finish
    finish(*evaluate(begin, host, loop))


def close(host, started, baseline, ended):
    """Tells the run's end and ends this process; only the first of several threads that come here
    gets to it."""
    host.closing.acquire()
    before, began = started
    end, data = ended
    if baseline:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    host.finish()
    used = resource.getrusage(resource.RUSAGE_SELF)
    usage = {
        "wall_us": int((real_monotonic() - began) * 1e6),
        "cpu_us": int((used.ru_utime - before.ru_utime + used.ru_stime - before.ru_stime) * 1e6),
        "memory_bytes": max(0, used.ru_maxrss - before.ru_maxrss) * 1024,
    }
    end = b'{"value":' + data + b"}" if data is not None else dumps(end)
    host.wire.send(DONE, b'{"end":' + end + b',"usage":' + dumps(usage) + b"}")
    os._exit(0)


def confine(limits, baseline, scratch):
    """Takes on the run's limits, which come before its text is looked at."""
    if not baseline:
        return
    import signal

    data, address = (had + limits["memory_bytes"] + (4 << 20) for had in baseline)
    resource.setrlimit(resource.RLIMIT_DATA, (data, data + LAST_WORDS_BYTES))
    # Not all memory counts as data.
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    address = min(address + LAST_WORDS_BYTES + CODE_BYTES_MAX, hard)
    resource.setrlimit(resource.RLIMIT_AS, (address, address))
    seconds = -(-limits["cpu_ms"] // 1000) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if scratch:
        threading.stack_size(STACK_BYTES)
        for kind, most in (("FSIZE", limits["disk_bytes"]), ("NPROC", limits["processes"])):
            kind = getattr(resource, f"RLIMIT_{kind}")
            most = min(most, resource.getrlimit(kind)[1])
            resource.setrlimit(kind, (most, most))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, limits["cpu_ms"] / 1000)
