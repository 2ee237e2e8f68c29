"""The names that a program finds: servers, `tools`, and what Narrows answers itself."""

NAME_BYTES_MAX = 512


class Namespace:
    """One server: its members are tools."""

    __slots__ = ("_name_", "_world_")

    def __init__(self, name, world):
        object.__setattr__(self, "_name_", name)
        object.__setattr__(self, "_world_", world)

    def __getattr__(self, name):
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self._world_.member(self._name_, name)

    def __getitem__(self, name):
        return self._world_.member(self._name_, name)

    def __setattr__(self, name, value):
        raise AttributeError("the members of a server are its tools")

    def __repr__(self):
        return f"<server {self._name_}>"


class Tools(Namespace):
    """`tools`: its members are servers."""

    __slots__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self._world_.server(name)

    def __getitem__(self, name):
        return self._world_.server(name)


class World:
    """What names mean in one program."""

    def __init__(self, host, begin):
        self.host = host
        self.sites = begin["sites"]
        self.plain = begin["plain"]
        self.namespaces = begin["namespaces"]
        self.ours = [name for name in ("session", "scratch") if name not in self.namespaces]
        self.scratch = Scratch(host, getattr(host, "scratch", None))

    def globals(self):
        names = {"ToolError": ToolError, "progress": self.host.progress, "show": self.show}
        names["tools"] = Tools("tools", self)
        for name in ("search", "artifact", "ask"):
            names[name] = self.own(name, self.plain)
        for index, site in enumerate(self.sites):
            if site["name"] in ("search", "artifact", "ask"):
                names[f"{MARK}{index}"] = self.own(site["name"], True)
        for name in self.ours:
            names[name] = Namespace(name, self)
        for name in self.namespaces:
            names[name] = Namespace(name, self)
        return names

    def site(self, name):
        if name.startswith(MARK) and name[1:].isdigit() and int(name[1:]) < len(self.sites):
            site = self.sites[int(name[1:])]
            return site["name"], site["wait"] or self.plain
        return name, self.plain

    def server(self, name):
        return Namespace(self.site(name)[0], self)

    def member(self, server, name):
        name, wait = self.site(name)
        if server in self.ours:
            if server == "scratch" and name in SCRATCH:
                return self.file(name, wait)
            if f"{server}.{name}" not in OWN:
                return self.refuse(f"{server}.{name} is not a function")
            return self.own(f"{server}.{name}", wait)
        return self.tool(server, name, wait)

    def refuse(self, message):
        def function(*args, **arguments):
            raise TypeError(message)

        return function

    def tool(self, server, tool, wait):
        name = f"{server}.{tool}"

        def call(*args, **arguments):
            if len(server.encode()) + len(tool.encode()) >= NAME_BYTES_MAX:
                raise TypeError("no tool has so long a name")
            if len(args) == 1 and isinstance(args[0], dict) and not arguments:
                arguments = args[0]
            elif args:
                raise TypeError(f"{name} takes keyword arguments: write {name}(key=value)")
            return self.host.call(server, tool, self.arguments(name, arguments), wait)

        call.__name__ = call.__qualname__ = name
        return call

    def arguments(self, name, arguments):
        bytes_max = self.host.limits["value_bytes"]
        try:
            data = encode(arguments, False)
        except Unfit as why:
            raise TypeError(f"{name}: {why}") from None
        if len(data) > bytes_max:
            raise TypeError(f"{name}: the arguments are longer than {bytes_max} bytes")
        return data

    def show(self, value):
        try:
            self.host.show(value)
        except Unfit as why:
            raise TypeError(f"show: {why}") from None

    def file(self, name, wait):
        """A function for scratch files: what does not leave is done when it returns."""
        function = getattr(self.scratch, name)
        names = SCRATCH[name]

        async def loading(future):
            return self.scratch.loaded(await future)

        def done(*args, **given):
            if len(args) > len(names) or not set(given) <= set(names[len(args) :]):
                raise TypeError(f"scratch.{name} takes {' and '.join(names)}")
            if name != "list" and len(args) + len(given) < len(names):
                args = (*args, *(given.pop(key, None) for key in names[len(args) :]))
            return function(*args, **given)

        def call(*args, **given):
            if name in LEAVING:
                arguments = self.arguments(f"scratch.{name}", done(*args, **given))
                result = self.host.call("narrows", f"scratch_{name}", arguments, wait)
                if name != "load":
                    return result
                return self.scratch.loaded(result) if wait else loading(result)
            if wait:
                return done(*args, **given)
            future = self.host.loop.create_future()
            try:
                future.set_result(done(*args, **given))
            except Exception as error:
                future.set_exception(error)
            return future

        call.__name__ = call.__qualname__ = f"scratch.{name}"
        return call

    def own(self, shown, wait):
        tool, positional, optional, keywords = OWN[shown]

        def call(*args, **given):
            arguments = own_arguments(shown, args, given)
            return self.host.call("narrows", tool, self.arguments(shown, arguments), wait)

        call.__name__ = call.__qualname__ = shown
        return call


# What the functions for scratch files take.
SCRATCH = {name: ["path"] for name in ("read", "bytes", "exists", "delete", "keep")}
SCRATCH |= {"write": ["path", "data"], "append": ["path", "data"]}
SCRATCH |= {"list": ["prefix"], "save": [], "load": []}

# Name for the program: (name for the host, arguments that may stand without their names, how many
# of them may be left out, what else there is).
OWN = {
    "search": ("search", ["query"], 0, ["server", "limit", "detail", "language"]),
    "artifact": ("artifact", ["handle"], 0, []),
    "ask": ("ask", ["question", "schema"], 1, []),
    "session.get": ("session_get", ["key"], 0, ["namespace"]),
    "session.set": ("session_set", ["key", "value"], 0, ["namespace", "ttl_s"]),
    "session.delete": ("session_delete", ["key"], 0, ["namespace"]),
    "session.list": ("session_list", [], 0, ["namespace", "prefix"]),
}


def own_arguments(shown, args, given):
    _, positional, optional, keywords = OWN[shown]
    needed = positional[: len(positional) - optional]
    example = ", ".join(name if name == "value" else f'"{name}"' for name in needed)
    example = f"write {shown}({example})"
    if len(args) > len(positional):
        names = ", ".join(positional)
        takes = {
            0: f"keyword arguments: {', '.join(keywords)}",
            1: f"one positional argument: {names}",
        }.get(len(positional), f"{len(positional)} positional arguments: {names}")
        raise TypeError(f"{shown} takes {takes}")
    arguments = dict(zip(positional, args))
    for name, value in given.items():
        if name not in positional and name not in keywords:
            raise TypeError(f"{shown} has no argument {name}: {example}")
        if name in arguments:
            raise TypeError(f"{shown} got {name} twice: {example}")
        arguments[name] = value
    # None stands for an argument that is left out, but as a value it is like others.
    arguments = {k: v for k, v in arguments.items() if k == "value" or v is not None}
    for name in needed:
        if name not in arguments:
            raise TypeError(f"{shown} misses {name}: {example}")
        if name in ("key", "question") and not isinstance(arguments[name], str):
            raise TypeError(f"{shown} takes a str as {name}: {example}")
    return arguments
