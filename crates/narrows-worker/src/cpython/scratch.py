"""A program's scratch files: what they say and allow is what `js/scratch.js` says and allows.

Where the program has a folder of its own they are in it, the same that `open` and `pathlib` find;
else they are in its memory.
"""

import base64
import errno
import re

SCRATCH_ROOT = "/scratch/"
PATH_BYTES_MAX = 255
NAMED_MAX = 10
NAME = r"(?!\.{1,2}(?:/|\Z))[^/\\\x00-\x1f\x7f\ud800-\udfff]+"
PATH = re.compile(rf"{NAME}(?:/{NAME}){{0,15}}\Z")
LEAVING = ("keep", "save", "load")


def short(given):
    """A path without what may stand before it."""
    for before in (SCRATCH_ROOT, "./"):
        if given.startswith(before):
            return given[len(before) :]
    return given


def above(path):
    """The folders that a path lies in."""
    return [path[:at] for at, letter in enumerate(path) if letter == "/"]


def size_of(text):
    return len(text.encode("utf-8", "surrogatepass"))


class Scratch:
    """`scratch`: its members are functions that give their results at once, but for `LEAVING`."""

    def __init__(self, host, folder):
        self.host, self.folder, self.memory = host, folder, {}

    # --- where the files are

    def paths(self):
        if not self.folder:
            return sorted(self.memory)
        found = []
        for place, _, names in os.walk(self.folder):
            found += [os.path.relpath(os.path.join(place, name), self.folder) for name in names]
        return sorted(found)

    def at(self, path):
        return os.path.join(self.folder, path)

    def is_file(self, path):
        return os.path.isfile(self.at(path)) if self.folder else path in self.memory

    def is_folder(self, path):
        if self.folder:
            return os.path.isdir(self.at(path))
        return any(other.startswith(path + "/") for other in self.memory)

    def get(self, path):
        if not self.folder:
            return self.memory[path]
        with open(self.at(path), "rb") as file:
            return file.read()

    def put(self, name, given, data, after):
        path, data = self.path(name, given), self.data(name, data)
        if not self.is_file(path):
            if self.is_folder(path):
                told = f"{path} is a folder: write to a file in it, such as {path}/a.txt"
                raise IsADirectoryError(told)
            for folder in above(path):
                if self.is_file(folder):
                    raise NotADirectoryError(f"{folder} is a file: nothing can lie in it")
        old = self.get(path) if after and self.is_file(path) else b""
        self.room(path, len(old) + len(data))
        if not self.folder:
            self.memory[path] = old + data
            return
        try:
            os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
            with open(self.at(path), "ab" if after else "wb") as file:
                file.write(data)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise limit("disk_bytes") from None
            raise

    def room(self, path, size):
        """Ends the run where that is more than it may keep."""
        others = [other for other in self.paths() if other != path]
        folders = {folder for other in [*others, path] for folder in above(other)}
        if self.folder:
            used = sum(os.path.getsize(self.at(other)) for other in others)
        else:
            used = sum(len(self.memory[other]) for other in others)
        if used + size > self.host.limits["disk_bytes"]:
            raise limit("disk_bytes")
        if len(others) + 1 + len(folders) > self.host.limits["files"] and not self.is_file(path):
            raise limit("files")

    def drop(self, path):
        if not self.folder:
            del self.memory[path]
            return
        os.remove(self.at(path))
        for folder in reversed(above(path)):
            try:
                os.rmdir(self.at(folder))
            except OSError:
                return

    # --- what programs give

    def path(self, name, given):
        given = os.fspath(given) if isinstance(given, os.PathLike) else given
        if not isinstance(given, str):
            got = type(given).__name__
            told = f'scratch.{name} takes a path, got {got}: scratch.{name}("notes.txt")'
            raise TypeError(told)
        path = short(given)
        if size_of(path) <= PATH_BYTES_MAX and PATH.match(path):
            return path
        shown = json.dumps(given[:64], ensure_ascii=False)
        raise ValueError(
            f"{shown} is no path for scratch.{name}: write one such as notes.txt or out/a.csv, of "
            f"at most {PATH_BYTES_MAX} bytes and 16 levels, without .."
        )

    def data(self, name, data):
        if isinstance(data, str):
            return data.encode("utf-8", "replace")
        if isinstance(data, (bytes, bytearray, memoryview)):
            return bytes(data)
        if isinstance(data, (dict, list, tuple)):
            try:
                return encode(data, False)
            except Unfit as why:
                raise TypeError(f"scratch.{name}: {why}") from None
        raise TypeError(
            f"scratch.{name} takes text, bytes, a dict or a list, got {type(data).__name__}: "
            f'scratch.{name}("notes.txt", str(value))'
        )

    def found(self, name, given):
        """A file that must be there: its path and what is in it."""
        path = self.path(name, given)
        if self.is_file(path):
            return path, self.get(path)
        if self.is_folder(path):
            listed = json.dumps(f"{path}/", ensure_ascii=False)
            raise IsADirectoryError(f"{path} is a folder: scratch.list({listed}) tells its files")
        there = self.paths()
        more = f" and {len(there) - NAMED_MAX} more" if len(there) > NAMED_MAX else ""
        told = f"there are {', '.join(there[:NAMED_MAX])}{more}" if there else "there are none yet"
        raise FileNotFoundError(f"no file {path}; {told}")

    # --- what programs call

    def write(self, path, data):
        self.put("write", path, data, False)

    def append(self, path, data):
        self.put("append", path, data, True)

    def read(self, path):
        path, data = self.found("read", path)
        try:
            return data.decode()
        except UnicodeDecodeError:
            told = f'{path} is no text: read it by scratch.bytes("{path}")'
            raise ValueError(told) from None

    def bytes(self, path):
        return self.found("bytes", path)[1]

    def list(self, prefix=""):
        if not isinstance(prefix or "", str):
            got = type(prefix).__name__
            told = f'scratch.list takes the beginning of paths, got {got}: scratch.list("out/")'
            raise TypeError(told)
        beginning = short(prefix or "")
        return [path for path in self.paths() if path.startswith(beginning)]

    def exists(self, path):
        return self.is_file(self.path("exists", path))

    def delete(self, path):
        path = self.path("delete", path)
        there = self.is_file(path)
        if there:
            self.drop(path)
        return there

    # --- what leaves as a call

    def saved(self, data):
        try:
            return {"text": data.decode()}
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(data).decode()}

    def keep(self, path):
        path, data = self.found("keep", path)
        return {"path": path, **self.saved(data)}

    def save(self):
        return {"files": {path: self.saved(self.get(path)) for path in self.paths()}}

    def load(self):
        return {}

    def loaded(self, files):
        """Takes what came back for `load`."""
        for path, file in files.items():
            data = base64.b64decode(file["base64"]) if "base64" in file else file["text"]
            self.put("load", path, data, False)
        return sorted(files)
