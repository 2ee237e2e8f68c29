// What programs and their packages import. Of Node's own modules those are real that touch nothing
// but the program's memory; the run's time and chance stand in for the machine's in others; of the
// rest there are the names only, which throw where they are called: many a package imports what it
// never uses. Nothing here is a wall.
((Node, { Deno, define, realInterval, realStop, told: { root, plain, refused, prefixed } }) => {
  const { default: Module, createRequire, getBuiltinModule, isBuiltin, registerHooks } = Node;
  const global = globalThis;
  const folder = `file://${encodeURI(root ?? "/nowhere")}/`;
  // How the texts begin that stand for a module of Node's: what they import is real, so nobody else
  // may know. This is not the run's own chance yet.
  const stand = `data:text/javascript,/*${global.crypto.randomUUID()}*/`;
  const real = new Set(plain);
  const { apply } = Reflect;
  const { getOwnPropertyDescriptors, getOwnPropertyNames, keys } = Object;

  // Their texts look for it where they are read, which is when somebody wants them.
  const load = (name) => {
    define(global, "Deno", Deno);
    try {
      return getBuiltinModule(prefixed.includes(name) ? `node:${name}` : name);
    } finally {
      delete global.Deno;
    }
  };
  const data = (of) => {
    const out = {};
    for (const [name, { value }] of Object.entries(getOwnPropertyDescriptors(of))) {
      if (value !== undefined) out[name] = value;
    }
    return out;
  };

  const refusing = (module, name, why) => {
    const out = function () {
      const error = new Error(`${name} of node:${module} is not available: ${why}`);
      error.code = "ERR_ACCESS_DENIED";
      throw error;
    };
    define(out, "name", name);
    return out;
  };
  // Called by packages while they are read, and of no effect.
  const idle = new Set(["markAsUncloneable", "markAsUntransferable"]);
  const names = (module, of, why, depth) => {
    const out = {};
    for (const [name, value] of Object.entries(data(of))) {
      if (typeof value === "function") out[name] = idle.has(name) ? () => {} : refusing(module, name, why);
      else if (typeof value !== "object" || value === null) out[name] = value;
      else if (depth > 0) out[name] = names(module, value, why, depth - 1);
    }
    return out;
  };

  // --- the run's own time, chance and words

  const later = (run, delay) => new Promise((resolve) => { run(resolve, delay); });
  const own = {
    __proto__: null,
    console: () => ({ ...global.console, console: global.console }),
    crypto: () => {
      const out = data(load("crypto"));
      const { Buffer } = load("buffer");
      const { constants, createPrivateKey, sign, Sign } = out;
      // Offset and size are counted in the elements of what is filled.
      const fill = (given, offset = 0, size) => {
        const view = ArrayBuffer.isView(given) ? given : new Uint8Array(given);
        const each = view.BYTES_PER_ELEMENT ?? 1;
        const length = size === undefined ? view.byteLength - offset * each : size * each;
        const part = new Uint8Array(view.buffer, view.byteOffset + offset * each, length);
        for (let i = 0; i < part.length; i++) part[i] = Math.floor(global.Math.random() * 256);
        return given;
      };
      const told = (value, done) => {
        if (done === undefined) return value;
        queueMicrotask(() => done(null, value));
      };
      const randomBytes = (size, done) => told(fill(Buffer.alloc(size)), done);
      const whole = (least, most) => least + Math.floor(global.Math.random() * (most - least));
      const why = "its outcome is another each time; pass keys in with input";
      for (const name of keys(out)) {
        if (/^(generate|createDiffie|createECDH|getDiffie|publicEncrypt|encapsulate|setEngine|secureHeap|DiffieHellman|ECDH$)/.test(name)) {
          out[name] = refusing("crypto", name, why);
        }
      }
      // Of signatures only these have a part that is drawn.
      const salt = "with RSA-PSS its outcome is another each time; use saltLength 0, or another algorithm";
      const salted = (key) => {
        if (key.saltLength === 0) return false;
        const of = key.key ?? key;
        const kind = of.asymmetricKeyType ?? of.algorithm?.name ?? createPrivateKey(key).asymmetricKeyType;
        return /^rsa-pss$/i.test(kind) || (kind === "rsa" && key.padding === constants.RSA_PKCS1_PSS_PADDING);
      };
      const unsalted = (stock, at) => function (...given) {
        if (given[at] !== undefined && given[at] !== null && salted(given[at])) refusing("crypto", "sign", salt)();
        return apply(stock, this, given);
      };
      define(Sign.prototype, "sign", unsalted(Sign.prototype.sign, 0));
      out.sign = unsalted(sign, 2);
      return {
        ...out,
        randomBytes,
        pseudoRandomBytes: randomBytes,
        randomFillSync: fill,
        randomFill: (view, ...rest) => told(fill(view, ...rest.slice(0, -1)), rest.at(-1)),
        randomInt(least, most, done) {
          if (most === undefined || typeof most === "function") [least, most, done] = [0, least, most];
          if (!Number.isSafeInteger(least) || !Number.isSafeInteger(most) || most <= least) {
            throw new RangeError(`randomInt takes whole numbers, the lower one first, got ${least} and ${most}`);
          }
          return told(whole(least, most), done);
        },
        randomUUID: () => global.crypto.randomUUID(),
        getRandomValues: (array) => global.crypto.getRandomValues(array),
        webcrypto: global.crypto,
        subtle: global.crypto.subtle,
      };
    },
    module: () => ({
      builtinModules: [...plain, ...keys(own)],
      createRequire,
      isBuiltin: (name) => builtin(name) !== undefined,
    }),
    perf_hooks: () => {
      const { performance, PerformanceEntry, PerformanceMark, PerformanceMeasure, PerformanceObserver, PerformanceObserverEntryList } = global;
      return { performance, PerformanceEntry, PerformanceMark, PerformanceMeasure, PerformanceObserver, PerformanceObserverEntryList, constants: {} };
    },
    process: () => process,
    timers: () => {
      const { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate } = global;
      return { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate, promises: own["timers/promises"]() };
    },
    "timers/promises": () => {
      const { setTimeout, setImmediate } = global;
      const wait = (delay, value) => later(setTimeout, delay).then(() => value);
      return {
        setTimeout: wait,
        setImmediate: (value) => later(setImmediate).then(() => value),
        async *setInterval(delay, value) { for (;;) yield await wait(delay, value); },
        scheduler: { wait, yield: () => later(setImmediate) },
      };
    },
  };
  const { version, versions } = load("process");
  const elapsed = () => global.performance.now();
  const hrtime = (since = [0, 0]) => {
    const now = Math.round((elapsed() * 1e6) - (since[0] * 1e9 + since[1]));
    return [Math.floor(now / 1e9), now % 1e9];
  };
  hrtime.bigint = () => BigInt(Math.round(elapsed() * 1e6));
  const said = (level) => ({ isTTY: false, write: (text) => { global.console[level](`${text}`.replace(/\n$/, "")); return true; } });
  const process = {
    title: "program",
    env: {},
    argv: ["program"],
    execArgv: [],
    execPath: "/program",
    pid: 1,
    ppid: 0,
    platform: "linux",
    arch: "x64",
    version,
    versions: { node: versions.node },
    release: { name: "node" },
    config: {},
    features: {},
    stdout: said("log"),
    stderr: said("error"),
    hrtime,
    cwd: () => "/",
    uptime: () => elapsed() / 1e3,
    nextTick: (run, ...args) => queueMicrotask(() => run(...args)),
    emitWarning: (warning) => global.console.warn(`${warning}`),
    getBuiltinModule: (name) => (isBuiltin(name) ? provide(builtin(name)) : undefined),
    listenerCount: () => 0,
    listeners: () => [],
    emit: () => false,
  };
  for (const name of ["on", "once", "off", "addListener", "removeListener", "removeAllListeners", "prependListener", "setMaxListeners"]) {
    process[name] = () => process;
  }
  for (const [why, list] of [
    ["return the value, or throw an error", "exit abort kill reallyExit"],
    ["nothing that was compiled for a machine is loaded; use a package of plain JavaScript or WebAssembly", "dlopen binding _linkedBinding"],
    ["nothing of the machine is told; pass values in with input", "memoryUsage resourceUsage cpuUsage getuid geteuid getgid getegid getgroups umask chdir setuid setgid loadEnvFile"],
  ]) {
    for (const name of list.split(" ")) process[name] = refusing("process", name, why);
  }

  Module._extensions[".node"] = process.dlopen;

  // --- what is imported

  const made = Object.create(null);
  // What packages can reach from here is theirs anyway.
  Module.builtin = made;
  const builtin = (specifier) => {
    if (specifier.startsWith("node:")) return specifier.slice(5);
    return isBuiltin(specifier) && !prefixed.includes(specifier) ? specifier : undefined;
  };
  const loaded = (name) => {
    const found = load(name);
    if (found === undefined) throw new TypeError(`node:${name} is not available: there is no such module`);
    return found;
  };
  const provide = (name) => {
    if (real.has(name)) return load(name);
    if (made[name] !== undefined) return made[name];
    const why = refused[name] ?? "it is none of those that a program may have";
    made[name] = own[name]?.() ?? names(name, loaded(name), why, 2);
    if (refused[`${name}/promises`] !== undefined) made[name].promises = provide(`${name}/promises`);
    return made[name];
  };
  const plainName = /^[A-Za-z_$][\w$]*$/;
  const reserved = new Set("default import export class function delete new return this typeof void with await".split(" "));
  const text = (name) => {
    const all = keys(made[name]).filter((key) => plainName.test(key) && !reserved.has(key));
    const from = `$$1.builtin[${JSON.stringify(name)}]`;
    const code = `import $$1 from "node:module";const $$2=${from};export default $$2;export const {${all.join(",")}}=$$2;`;
    return stand + encodeURIComponent(code);
  };

  registerHooks({
    resolve(specifier, context, next) {
      const from = context.parentURL ?? "";
      if (from.startsWith(stand)) return next(specifier, context);
      if (!from.startsWith("file:")) {
        specifier = specifier.replace(/^npm:\/?((?:@[^/]+\/)?[^/@]+)(?:@[^/]*)?/, "$1");
        context = { ...context, parentURL: `${folder}program.js` };
      }
      const asked = builtin(specifier);
      // Without `node:` these are packages, but Deno takes them for Node's.
      const meant = prefixed.includes(specifier) ? `npm:${specifier}` : specifier;
      const found = asked === undefined ? next(meant, context) : undefined;
      // A package may have names of its own for Node's modules, and there are ways to spell one.
      const name = asked ?? (found.url?.startsWith("node:") ? found.url.slice(5) : undefined);
      if (name === undefined) return found;
      provide(name);
      // What is required comes from below.
      if (real.has(name) || context.conditions?.includes("require")) return next(`node:${name}`, context);
      return { url: text(name), format: "module", shortCircuit: true };
    },
  });
  const stock = Module._load;
  Module._load = function (request, ...rest) {
    const asked = `${request}`;
    const inner = () => (asked[0] === "#" ? builtin(Module._resolveFilename(asked, ...rest)) : undefined);
    const name = builtin(asked) ?? inner();
    if (name !== undefined) return provide(name);
    const found = prefixed.includes(asked) && Module._findPath(asked, rest[0]?.paths ?? []);
    return apply(stock, this, [found || request, ...rest]);
  };

  // --- for a program that imports something

  const namesOf = (found) => {
    const all = getOwnPropertyNames(found).filter((name) => name !== "default" && name !== "module.exports");
    return all.length > 30 ? `${all.slice(0, 30).join(", ")}, ...` : all.join(", ");
  };
  return {
    // What packages take for granted.
    offer() {
      const { Buffer } = load("buffer");
      class WeakRef {
        #held;
        constructor(held) { this.#held = held; }
        deref() { return this.#held; }
      }
      class FinalizationRegistry {
        register() {}
        unregister() { return false; }
      }
      for (const [name, value] of Object.entries({ Buffer, process, global, WeakRef, FinalizationRegistry })) {
        define(global, name, value);
      }
      for (const name of ["MessageChannel", "MessagePort"]) {
        define(global, name, refusing("worker_threads", name, refused.worker_threads));
      }
    },
    async imported(specifier, wanted, attributes) {
      // Where a module waits for nothing that comes, Deno ends at once, and nobody says why.
      const awake = realInterval(() => {}, 1000);
      const found = await import(specifier, { with: attributes ?? {} }).finally(() => realStop(awake));
      for (const name of wanted) {
        if (!(name in found)) {
          const what = name === "default" ? "no default export" : `no export ${name}`;
          throw new SyntaxError(`${specifier} has ${what}; it has ${namesOf(found)}`);
        }
      }
      return found;
    },
  };
})
