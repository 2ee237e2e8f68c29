// What every program finds. Called once, before the fork, with the host's functions; gives the
// functions that the host calls. The program shares this realm and may overwrite whatever it can
// reach, so everything used here later is taken now, and no iterator or method is looked up later.
(function (host, scratchFiles, keptNames) {
  "use strict";
  const global = globalThis;
  const {
    Array, BigInt, Date, Error, Function, JSON, Map, Math, Object, Promise, Proxy, Reflect, Set,
    String, TypeError, RangeError, Number, Symbol,
  } = global;
  const { apply, construct, ownKeys } = Reflect;
  const { isArray, from: arrayFrom } = Array;
  const { stringify } = JSON;
  const { create, defineProperty, getPrototypeOf, keys: objectKeys } = Object;
  const uncurry = (method) => Function.prototype.call.bind(method);
  const wellFormed = uncurry(String.prototype.toWellFormed);
  const slice = uncurry(String.prototype.slice);
  const matches = uncurry(RegExp.prototype.test);
  const iso = uncurry(Date.prototype.toISOString);
  const includes = uncurry(Array.prototype.includes);
  const join = uncurry(Array.prototype.join);
  const mapEach = uncurry(Map.prototype.forEach);
  const setEach = uncurry(Set.prototype.forEach);
  const define = (target, name, value) =>
    defineProperty(target, name, { __proto__: null, value, writable: true, configurable: true });
  const isPromise = (value) => typeof value === "object" && value !== null && value instanceof Promise;

  const left = keptNames();

  // --- errors of tools

  class ToolError extends Error {
    constructor(message, tool, args) {
      super(message);
      this.tool = tool;
      this.arguments = args;
    }
  }
  define(ToolError.prototype, "name", "ToolError");

  // --- calls: each has an entry in `pending` until its reply is here

  let pending = create(null);

  function invoke(server, tool, full, args) {
    return new Promise((resolve, reject) => {
      const text = stringify(args);
      const stack = new Error().stack;
      const id = host.call(server, tool, full, text);
      pending[id] = { __proto__: null, resolve, reject, stack };
    });
  }

  function settle(id, ok, value, message) {
    const entry = pending[id];
    if (entry === undefined) return;
    delete pending[id];
    if (ok) {
      entry.resolve(value);
      return;
    }
    const error = new ToolError(message, value.tool, value.arguments);
    define(error, "stack", entry.stack);
    entry.reject(error);
  }

  function kindOf(value) {
    if (value === null) return "null";
    if (isArray(value)) return "an array";
    if (isPromise(value)) return "a promise that nobody awaited";
    if (plain(value)) return "an object";
    const kind = typeof value;
    return kind === "undefined" ? kind : kind === "object" ? "an object of a class" : `a ${kind}`;
  }

  function plain(value) {
    if (typeof value !== "object" || value === null || isArray(value)) return false;
    return !(isPromise(value) || value instanceof Map || value instanceof Set || value instanceof Date);
  }

  const wanted = (full, got) =>
    new TypeError(`${full} takes one object, got ${got}: write ${full}({key: value})`);

  function member(server, tool) {
    const full = `${wellFormed(server)}.${wellFormed(tool)}`;
    const called = async (...given) => {
      if (given.length > 1) throw wanted(full, `${given.length} arguments`);
      const args = given.length === 0 || given[0] === undefined ? {} : given[0];
      if (!plain(args)) throw wanted(full, kindOf(args));
      // Awaited here: a promise that is resolved with another asks it for its `then`.
      return await invoke(wellFormed(server), wellFormed(tool), full, args);
    };
    define(called, "name", tool);
    return called;
  }

  // Not tools, for the language itself asks objects for them.
  const never = {
    __proto__: null, then: 1, toJSON: 1, toString: 1, toLocaleString: 1, valueOf: 1, constructor: 1,
  };
  const readOnly = { __proto__: null, set: () => false, defineProperty: () => false, deleteProperty: () => false, setPrototypeOf: () => false, preventExtensions: () => false };

  function lazily(make) {
    const made = create(null);
    return new Proxy(made, {
      __proto__: readOnly,
      get(_, key) {
        if (typeof key !== "string" || never[key] !== undefined) return undefined;
        return (made[key] ??= make(key));
      },
      has: (_, key) => typeof key === "string" && never[key] === undefined,
    });
  }

  const namespaces = create(null);
  const namespace = (server) => (namespaces[server] ??= lazily((tool) => member(server, tool)));
  const tools = lazily(namespace);

  // --- what a program says

  const BYTES_MAX = 8192;
  const DEPTH_MAX = 6;
  const plainKey = /^[A-Za-z_$][\w$]*$/;

  // Writes into `out`, whose `text` stops growing at about BYTES_MAX; `top`: strings stand bare.
  function write(out, value, depth, top) {
    if (out.text.length > BYTES_MAX) return;
    switch (typeof value) {
      case "string":
        out.text += top ? slice(value, 0, BYTES_MAX + 1) : stringify(slice(value, 0, BYTES_MAX + 1));
        return;
      case "bigint": out.text += `${value}n`; return;
      case "symbol": out.text += "[symbol]"; return;
      case "function": out.text += "[function]"; return;
      case "object": if (value !== null) return writeObject(out, value, depth); // falls through
      default: out.text += `${value}`;
    }
  }

  function writeObject(out, value, depth) {
    if (isPromise(value)) out.text += "[promise: await it]";
    else if (value instanceof Error) out.text += `${value.name}: ${value.message}`;
    else if (value instanceof Date) out.text += value.getTime() === value.getTime() ? iso(value) : "Invalid Date";
    else if (value instanceof RegExp) out.text += `/${value.source}/${value.flags}`;
    else if (depth >= DEPTH_MAX) out.text += isArray(value) ? "[...]" : "{...}";
    else if (isArray(value)) {
      out.text += "[";
      for (let i = 0; i < value.length && out.text.length <= BYTES_MAX; i++) {
        if (i > 0) out.text += ",";
        write(out, value[i], depth + 1, false);
      }
      out.text += "]";
    } else if (value instanceof Map) {
      out.text += "Map{";
      let rest = false;
      mapEach(value, (item, key) => {
        if (out.text.length > BYTES_MAX) return;
        if (rest) out.text += ",";
        rest = true;
        write(out, key, depth + 1, false);
        out.text += "=>";
        write(out, item, depth + 1, false);
      });
      out.text += "}";
    } else if (value instanceof Set) {
      out.text += "Set{";
      let rest = false;
      setEach(value, (item) => {
        if (out.text.length > BYTES_MAX) return;
        if (rest) out.text += ",";
        rest = true;
        write(out, item, depth + 1, false);
      });
      out.text += "}";
    } else writeKeys(out, value, depth);
  }

  function writeKeys(out, value, depth) {
    const names = objectKeys(value);
    out.text += "{";
    for (let i = 0; i < names.length && out.text.length <= BYTES_MAX; i++) {
      if (i > 0) out.text += ",";
      out.text += matches(plainKey, names[i]) ? `${names[i]}:` : `${stringify(names[i])}:`;
      write(out, value[names[i]], depth + 1, false);
    }
    out.text += "}";
  }

  function inspect(value, top) {
    const out = { __proto__: null, text: "" };
    try {
      write(out, value, 0, top);
    } catch {
      // A getter or a proxy of the program's own: what was written stands.
      out.text += "[throws]";
    }
    return out.text;
  }

  function say(level, values) {
    let text = "";
    for (let i = 0; i < values.length && text.length <= BYTES_MAX; i++) {
      if (i > 0) text += " ";
      text += inspect(values[i], true);
    }
    host.log(level, wellFormed(text));
  }

  let counts = create(null);
  let since = create(null);
  const console = {
    log: (...values) => say(1, values),
    info: (...values) => say(1, values),
    dir: (value) => say(1, [value]),
    debug: (...values) => say(0, values),
    trace: (...values) => say(0, values),
    warn: (...values) => say(2, values),
    error: (...values) => say(3, values),
    assert: (holds, ...values) => { if (!holds) say(3, ["assertion failed:", inspect(values, false)]); },
    table: (rows) => {
      if (!isArray(rows)) return say(1, [rows]);
      for (let i = 0; i < rows.length && i < 1000; i++) say(1, [rows[i]]);
    },
    count: (label = "default") => say(1, [`${label}: ${(counts[label] = (counts[label] ?? 0) + 1)}`]),
    time: (label = "default") => { since[label] = host.now(); },
    timeEnd: (label = "default") => say(1, [`${label}: ${host.now() - (since[label] ?? host.now())} ms`]),
    timeLog: (label = "default") => say(1, [`${label}: ${host.now() - (since[label] ?? host.now())} ms`]),
    group: (...values) => say(1, values),
    groupEnd: () => {},
  };

  // --- values that JSON does not know; a program's own JSON.stringify is served by these too

  define(Map.prototype, "toJSON", function toJSON() {
    const pairs = [];
    let named = true;
    mapEach(this, (value, key) => {
      named &&= typeof key === "string";
      pairs[pairs.length] = [key, value];
    });
    if (!named) return pairs;
    const out = {};
    for (let i = 0; i < pairs.length; i++) {
      const value = pairs[i][1];
      defineProperty(out, pairs[i][0], { __proto__: null, value, writable: true, enumerable: true, configurable: true });
    }
    return out;
  });
  define(Set.prototype, "toJSON", function toJSON() {
    const out = [];
    setEach(this, (value) => { out[out.length] = value; });
    return out;
  });
  define(BigInt.prototype, "toJSON", function toJSON() { return `${this}`; });
  define(Error.prototype, "toJSON", function toJSON() {
    const out = { name: `${this.name}`, message: `${this.message}` };
    if (this instanceof ToolError) out.tool = this.tool;
    return out;
  });
  define(Promise.prototype, "toJSON", function toJSON() {
    throw new TypeError("a promise stands where a value is needed: await it");
  });
  define(getPrototypeOf(Uint8Array.prototype), "toJSON", function toJSON() {
    const out = [];
    for (let i = 0; i < this.length; i++) out[i] = this[i];
    return out;
  });

  const MEMBERS_MAX = 10000;

  // Awaits promises that are direct members: what `return [a(), b()]` means.
  async function settled(value) {
    if (typeof value !== "object" || value === null) return value;
    const list = isArray(value);
    if (!list && getPrototypeOf(value) !== Object.prototype) return value;
    const names = list ? value : objectKeys(value);
    if (names.length > MEMBERS_MAX) return value;
    let copy;
    for (let i = 0; i < names.length; i++) {
      const key = list ? i : names[i];
      const item = value[key];
      if (!isPromise(item)) continue;
      copy ??= list ? apply(arrayFrom, Array, [value]) : Object.assign({}, value);
      copy[key] = await item;
    }
    return copy ?? value;
  }

  function encode(value) {
    if (typeof value === "function") return stringify(inspect(value, false));
    try {
      return stringify(value) ?? "null";
    } catch (error) {
      if (error instanceof TypeError && `${error.message}` === "circular reference") {
        throw new TypeError("the value contains itself and is no JSON: return only the fields that you need");
      }
      throw error;
    }
  }

  async function finish(program) {
    begin();
    return encode(await settled(await program(left.keep)));
  }

  // Nothing is left of an earlier program but its names.
  function begin() {
    pending = create(null);
    timers = create(null);
    counts = create(null);
    since = create(null);
    clearFiles();
    left.settle();
  }

  // Why, in one line: what an error was caused by, or the errors that it gathers.
  function reasons(error) {
    if (error.cause instanceof Error) return `cause: ${error.cause.message}`;
    if (!isArray(error.errors)) return "";
    let out = "";
    for (let i = 0; i < error.errors.length && i < 3; i++) {
      if (i > 0) out += "; ";
      out += error.errors[i] instanceof Error ? error.errors[i].message : inspect(error.errors[i], true);
    }
    return out;
  }

  // What an uncaught error says, as three strings; runs getters of the program's own.
  function describe(error) {
    const text = (read, otherwise) => {
      try {
        const value = read();
        return typeof value === "string" ? wellFormed(value) : otherwise;
      } catch {
        return otherwise;
      }
    };
    const out = create(null);
    const object = typeof error === "object" && error !== null;
    out.name = (object && text(() => error.name, "")) || "Error";
    const message = object ? text(() => error.message, undefined) : undefined;
    out.message = message ?? wellFormed(inspect(error, true));
    const causes = object ? text(() => reasons(error), "") : "";
    if (causes !== "") out.message += out.message === "" ? causes : ` (${causes})`;
    out.stack = object ? text(() => error.stack, "") : "";
    return out;
  }

  // --- time and chance

  let timers = create(null);

  function timer(every, run, delay, args) {
    if (typeof run !== "function") throw new TypeError("a timer takes a function");
    const wait = Number(delay);
    const id = host.timer(wait > 0 ? wait : 0);
    timers[id] = { __proto__: null, run, args, every: every ? (wait > 1 ? wait : 1) : 0 };
    return id;
  }

  function clear(id) {
    if (typeof id !== "number" || timers[id] === undefined) return;
    delete timers[id];
    host.untimer(id);
  }

  // `last`: the program has its value, and what repeats ends with it.
  function fire(id, last) {
    const entry = timers[id];
    if (entry === undefined) return;
    if (entry.every > 0 && last) return void delete timers[id];
    if (entry.every > 0) host.again(id, entry.every);
    else delete timers[id];
    apply(entry.run, undefined, entry.args);
  }

  function VirtualDate(...given) {
    if (new.target === undefined) return `${new VirtualDate()}`;
    const args = given.length === 0 ? [host.now()] : given;
    return construct(Date, args, new.target === VirtualDate ? Date : new.target);
  }
  define(VirtualDate, "name", "Date");
  define(VirtualDate, "length", 7);
  defineProperty(VirtualDate, "prototype", { __proto__: null, value: Date.prototype, writable: false });
  define(Date.prototype, "constructor", VirtualDate);
  define(VirtualDate, "UTC", Date.UTC);
  define(VirtualDate, "parse", Date.parse);
  define(VirtualDate, "now", () => host.now());
  define(Math, "random", () => host.random());

  // --- the globals

  const firstArgument = (name, key, value, more) => {
    const object = plain(value);
    if (!object && typeof value !== "string") throw new TypeError(`${name} takes a string: ${name}("...")`);
    return object ? value : Object.assign({ [key]: value }, more);
  };
  // The options of a built-in, only those that there are: what it does not know it would not heed.
  const optionsOf = (full, known, given) => {
    const out = { __proto__: null };
    if (given === undefined) return out;
    if (!plain(given)) throw new TypeError(`${full} takes its options as an object, got ${kindOf(given)}: {${known[0]}: ...}`);
    const names = objectKeys(given);
    for (let i = 0; i < names.length; i++) {
      if (!includes(known, names[i])) throw new TypeError(`${full} has no option ${names[i]}; it has ${join(known, ", ")}`);
      out[names[i]] = given[names[i]];
    }
    return out;
  };
  const ask = async (question, schema) => {
    const args = firstArgument("ask", "question", question, schema === undefined ? undefined : { schema });
    if (args.schema !== undefined && !plain(args.schema)) {
      throw new TypeError(`ask takes a JSON schema, got ${kindOf(args.schema)}: ask("...", {type: "string"})`);
    }
    return await invoke("narrows", "ask", "ask", args);
  };
  const kept = (name, known, keyed, valued) => {
    const full = `session.${name}`;
    const method = async (...given) => {
      const args = { __proto__: null };
      if (keyed) {
        if (typeof given[0] !== "string") throw new TypeError(`${full} takes a key, got ${kindOf(given[0])}: ${full}("key"${valued ? ", value" : ""})`);
        args.key = given[0];
      }
      if (valued) {
        if (given[1] === undefined || typeof given[1] === "function") throw new TypeError(`${full} takes a value, got ${kindOf(given[1])}: ${full}("key", value)`);
        args.value = given[1];
      }
      const options = optionsOf(full, known, given[keyed + valued]);
      const names = ownKeys(options);
      for (let i = 0; i < names.length; i++) args[names[i]] = options[names[i]];
      return await invoke("narrows", `session_${name}`, full, args);
    };
    define(method, "name", name);
    return method;
  };
  const session = Object.freeze({
    get: kept("get", ["namespace"], 1, 0),
    set: kept("set", ["namespace", "ttl_s"], 1, 1),
    delete: kept("delete", ["namespace"], 1, 0),
    list: kept("list", ["namespace", "prefix"], 0, 0),
  });
  namespaces.session = session;
  const { scratch, clear: clearFiles } = scratchFiles({ host, invoke, uncurry, plain, kindOf });
  namespaces.scratch = scratch;
  const globals = {
    __proto__: null,
    console,
    tools,
    ToolError,
    Date: VirtualDate,
    search: async (query, options) => await invoke("narrows", "search", "search", firstArgument("search", "query", query, options)),
    artifact: async (handle) => await invoke("narrows", "artifact", "artifact", firstArgument("artifact", "handle", handle)),
    ask,
    session,
    scratch,
    progress: (fraction, message) => {
      const said = typeof fraction === "string" ? fraction : message;
      const done = typeof fraction === "number" ? fraction : NaN;
      host.progress(done, said === undefined ? "" : wellFormed(inspect(said, true)));
    },
    show: (value) => { host.show(encode(value)); },
    setTimeout: (run, delay, ...args) => timer(false, run, delay, args),
    setInterval: (run, delay, ...args) => timer(true, run, delay, args),
    setImmediate: (run, ...args) => timer(false, run, 0, args),
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
    performance: { now: () => host.elapsed(), timeOrigin: 0 },
  };
  // What they tell is when memory was tidied up: that is nobody's business, and never the same twice.
  delete global.WeakRef;
  delete global.FinalizationRegistry;
  // A program is one thread, and not every engine has them.
  delete global.Atomics;
  const names = ownKeys(globals);
  for (let i = 0; i < names.length; i++) define(global, names[i], globals[names[i]]);

  return {
    __proto__: null,
    define,
    bind: (name) => {
      if (namespaces[name] === session || namespaces[name] === scratch) delete namespaces[name];
      define(global, name, namespace(name));
    },
    settle,
    fire,
    finish,
    describe,
  };
})
