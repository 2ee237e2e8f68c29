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
        self.session = "session" not in self.namespaces

    def globals(self):
        names = {"ToolError": ToolError, "progress": self.host.progress, "show": self.show}
        names["tools"] = Tools("tools", self)
        for name in ("search", "artifact", "ask"):
            names[name] = self.own(name, self.plain)
        for index, site in enumerate(self.sites):
            if site["name"] in ("search", "artifact", "ask"):
                names[f"{MARK}{index}"] = self.own(site["name"], True)
        if self.session:
            names["session"] = Namespace("session", self)
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
        if self.session and server == "session":
            if f"session.{name}" not in OWN:
                return self.refuse(f"session.{name} is not a function")
            return self.own(f"session.{name}", wait)
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

    def own(self, shown, wait):
        tool, positional, optional, keywords = OWN[shown]

        def call(*args, **given):
            arguments = own_arguments(shown, args, given)
            return self.host.call("narrows", tool, self.arguments(shown, arguments), wait)

        call.__name__ = call.__qualname__ = shown
        return call


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
