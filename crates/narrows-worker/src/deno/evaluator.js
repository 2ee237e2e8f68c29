// Evaluates one program in V8, whose reader sits at the other end of standard input and output. The
// prelude is the one of the embedded engine; this gives it its host, and is the loop between the
// program's jobs, its timers and the frames. Nothing here is a wall.
{
  const { Deno, [GC]: gc, setImmediate, setTimeout: realTimeout, setInterval: realInterval, clearInterval: realStop } = globalThis;
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const wallNow = performance.now.bind(performance);
  const realEval = globalThis.eval;
  const [REPLY, PING] = [3, 4];
  const [CALL, LOG, PROGRESS, SHOW, DONE, IDLE] = [66, 67, 68, 69, 70, 71];
  const EXIT_LINK = 67;
  const [TIMERS_MAX, WAKES_MAX, NOTICES_MAX, UNHEARD_MAX, FRAMES_MAX] = [10000, 10000, 10000, 8, 16];
  // After the program has its value: a timer may set the next one for ever.
  const DRAIN_TIMERS_MAX = 10000, DRAIN_SHARE = 0.9;
  const LINE_BYTES_MAX = 8192;

  // --- frames

  const write = (bytes) => {
    try {
      while (bytes.length > 0) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
    } catch {
      Deno.exit(EXIT_LINK);
    }
  };
  const send = (kind, text) => {
    const payload = encoder.encode(text);
    const frame = new Uint8Array(5 + payload.length);
    new DataView(frame.buffer).setUint32(0, payload.length + 1, true);
    frame[4] = kind;
    frame.set(payload, 5);
    write(frame);
  };
  const chunk = new Uint8Array(1 << 16);
  let parts = [], held = 0;
  const take = async (size) => {
    while (held < size) {
      const count = await Deno.stdin.read(chunk);
      if (count === null) Deno.exit(EXIT_LINK);
      parts.push(chunk.slice(0, count));
      held += count;
    }
    const all = parts.length === 1 ? parts[0] : new Uint8Array(held);
    if (parts.length > 1) {
      let at = 0;
      for (const part of parts) { all.set(part, at); at += part.length; }
    }
    held -= size;
    parts = held > 0 ? [all.subarray(size)] : [];
    return all.subarray(0, size);
  };
  const receive = async () => {
    const head = await take(5);
    const size = new DataView(head.buffer, head.byteOffset).getUint32(0, true);
    const kind = head[4];
    return [kind, await take(size - 1)];
  };

  // --- the state of the run

  let limits, began, stopped, random = 0n;
  let unixMs = 0, nowUs = 0, aheadUs = 0;
  let lastId = 0, calls = 0, notices = 0, shown = 0, said = 0, dropped = 0, lastTimer = 0;
  const waiting = new Set(), wakes = new Map(), timers = new Map();
  const look = () => nowUs++;
  const told = (atUs) => { nowUs = Math.max(nowUs, atUs + aheadUs); };
  const jump = (toUs) => {
    const by = Math.max(0, toUs - nowUs);
    nowUs += by;
    aheadUs += by;
  };
  const stop = (limit) => {
    stopped ??= limit;
    end({ limit: stopped });
  };
  const clip = (text, most) => {
    const bytes = encoder.encode(text);
    if (bytes.length <= most) return text;
    let at = most - 3;
    while (at > 0 && (bytes[at] & 0xc0) === 0x80) at--;
    return decoder.decode(bytes.subarray(0, at)) + "...";
  };
  const whole = (json) => json.includes("\\ud") ? JSON.stringify(tidy(JSON.parse(json))) : json;
  const tidy = (value) => {
    if (typeof value === "string") return value.toWellFormed();
    if (Array.isArray(value)) return value.map(tidy);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key.toWellFormed(), tidy(item)]));
  };
  const log = (level, text) => {
    for (const line of text.split("\n")) {
      const clipped = clip(line.slice(0, LINE_BYTES_MAX + 4), LINE_BYTES_MAX);
      const bytes = encoder.encode(clipped).length + 1;
      // Once a line did not fit, later ones are dropped too: no gaps in what is shown.
      if (dropped > 0 || said + bytes > limits.log_bytes) { dropped++; continue; }
      said += bytes;
      send(LOG, JSON.stringify({ level: ["debug", "info", "warn", "error"][level] ?? "info", text: clipped }));
    }
  };
  const setTimer = (id, delayMs) => timers.set(id, nowUs + Math.trunc(Math.min(Math.max(delayMs, 1), 1e12) * 1000));

  const kit = PRELUDE({
    call(server, tool, full, text) {
      if (calls >= limits.calls) stop("calls");
      if (encoder.encode(full).length > 512) throw new TypeError("no tool has so long a name");
      const args = whole(text);
      if (encoder.encode(args).length > limits.value_bytes) {
        throw new TypeError(`${full}: the arguments are longer than ${limits.value_bytes} bytes`);
      }
      calls++;
      const id = ++lastId;
      waiting.add(id);
      send(CALL, `${JSON.stringify({ id, server, tool }).slice(0, -1)},"args":${args}}`);
      return id;
    },
    log,
    progress(fraction, message) {
      if (notices++ >= NOTICES_MAX) return;
      fraction = Number.isFinite(fraction) ? Math.min(1, Math.max(0, fraction)) : null;
      send(PROGRESS, JSON.stringify({ fraction, message: clip(message, 600) }));
    },
    show(text) {
      const json = whole(text);
      shown += encoder.encode(json).length;
      if (shown > limits.value_bytes) stop("value_bytes");
      send(SHOW, json);
    },
    disk(bytes, entries) {
      if (bytes > limits.disk_bytes) stop("disk_bytes");
      if (entries > limits.files) stop("files");
    },
    timer(delayMs) {
      if (timers.size >= TIMERS_MAX) throw new RangeError(`more than ${TIMERS_MAX} timers at once`);
      setTimer(++lastTimer, delayMs);
      return lastTimer;
    },
    again: setTimer,
    untimer: (id) => timers.delete(id),
    now: () => Math.floor((unixMs * 1000 + look()) / 1000),
    elapsed: () => look() / 1000,
    // SplitMix64, as 53 bits from 0 to 1.
    random() {
      const mask = (1n << 64n) - 1n;
      random = (random + 0x9e3779b97f4a7c15n) & mask;
      let z = random;
      z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
      z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask;
      return Number((z ^ (z >> 31n)) >> 11n) / 2 ** 53;
    },
  });

  // --- the end

  const unheard = new Map();
  addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    if (unheard.size < UNHEARD_MAX) unheard.set(event.promise, event.reason);
  });
  addEventListener("error", (event) => event.preventDefault());
  const end = (how, json) => {
    if (dropped > 0) {
      const text = `${dropped} more lines dropped: log_bytes is ${limits.log_bytes}`;
      send(LOG, JSON.stringify({ level: "warn", text }));
    }
    const used = Deno.memoryUsage();
    const usage = { wall_us: Math.round((wallNow() - began) * 1000), cpu_us: 0, memory_bytes: used.heapUsed };
    const told = json === undefined ? JSON.stringify(how) : `{"value":${json}}`;
    send(DONE, `{"end":${told},"usage":${JSON.stringify(usage)}}`);
    Deno.exit(0);
  };
  const places = (stack) => {
    const found = [...stack.matchAll(/\bprogram(?:, <anonymous>)?:(\d+):(\d+)\)?$/gm)].slice(0, FRAMES_MAX);
    return found.map(([, line, column]) => ({ line: +line, column: +column }));
  };
  // What V8 says where the kernel gives no more memory; memory of its heap is beyond words.
  const FULL = /^(Array buffer allocation failed|WebAssembly\.Memory(\(\): could not allocate memory|\.grow\(\): Unable to grow instance memory)|[\w.()]+: Out of memory)$/;
  const fail = (error) => {
    const { name, message, stack } = kit.describe(error);
    if (name === "RangeError" && FULL.test(message)) end({ limit: "memory_bytes" });
    if (name === "RangeError" && message === "Maximum call stack size exceeded") end({ limit: "stack" });
    end({ threw: { name: clip(name, 64), message: clip(message, 8192), at: places(stack) } });
  };
  const summary = (error) => {
    const { name, message } = kit.describe(error);
    return name === "ToolError" || name === "Error" ? message : `${name}: ${message}`;
  };

  // --- the loop

  // What was set off runs before the next turn.
  const hop = () => setImmediate(turn);
  let value, valued = false, reading = false, races = false;
  let drained = 0;
  const nextTimer = () => {
    let next;
    if (drained >= DRAIN_TIMERS_MAX) return next;
    for (const [id, due] of timers) if (next === undefined || due < next[1]) next = [id, due];
    return next;
  };
  const fire = ([id, due]) => {
    jump(due);
    timers.delete(id);
    if (valued) drained++;
    try {
      kit.fire(id, valued);
    } catch (error) {
      if (!valued) fail(error);
      log(2, `nobody awaited this error: ${summary(error)}`);
    }
    hop();
  };
  const settle = ([kind, payload]) => {
    if (kind === PING) return send(IDLE, "");
    if (kind !== REPLY) Deno.exit(EXIT_LINK);
    const head = new DataView(payload.buffer, payload.byteOffset);
    const id = head.getUint32(0, true);
    told(Number(head.getBigUint64(5, true)));
    if (wakes.has(id)) {
      told(wakes.get(id));
      wakes.delete(id);
      return;
    }
    if (!waiting.delete(id)) Deno.exit(EXIT_LINK);
    const body = payload.subarray(13);
    if (body.length > limits.result_bytes) stop("result_bytes");
    const json = JSON.parse(decoder.decode(body));
    if (payload[4] === 1) return kit.settle(id, true, json, "");
    const sent = json.arguments ? ` (sent ${json.arguments})` : "";
    kit.settle(id, false, { tool: json.tool, arguments: json.arguments ?? "" }, `${json.tool}: ${json.message}${sent}`);
  };
  const listen = () => {
    if (reading) return;
    reading = true;
    receive().then((frame) => {
      reading = false;
      settle(frame);
      hop();
    }).catch(fail);
  };
  let woken = 0;
  // Of the time in which what nobody awaited may come to its end.
  const left = () => limits.wall_ms * DRAIN_SHARE - (wallNow() - began);
  const full = () => {
    const { heapUsed, external } = Deno.memoryUsage();
    return heapUsed + external > limits.memory_bytes;
  };
  const turn = () => {
    // Some of it may be of no use any more.
    if (full()) {
      gc();
      if (full()) stop("memory_bytes");
    }
    const next = nextTimer();
    if (valued && (races || (waiting.size === 0 && next === undefined) || left() <= 0)) return finish();
    if (next !== undefined && next[1] <= nowUs) return fire(next);
    if (waiting.size > 0) {
      if (next !== undefined) {
        const until = Math.max(0, next[1] - aheadUs);
        if (woken < WAKES_MAX && ![...wakes.values()].includes(until)) {
          woken++;
          wakes.set(++lastId, until);
          send(CALL, JSON.stringify({ id: lastId, server: "narrows", tool: "wait", args: { until_us: until } }));
        }
      }
      return listen();
    }
    // Nothing is under way that is known here; what V8 does beside may still come to its end, and
    // then there is nothing to do at all.
  };
  // V8 has nothing to do any more.
  addEventListener("beforeunload", (event) => {
    event.preventDefault();
    const next = nextTimer();
    if (next !== undefined) return fire(next);
    if (valued) return finish();
    end("deadlock");
  });
  const finish = () => {
    for (const error of unheard.values()) log(2, `nobody awaited this error: ${summary(error)}`);
    if (waiting.size > 0 && !races) log(2, `calls that nobody awaited and that are not done: ${waiting.size}`);
    if (encoder.encode(value).length > limits.value_bytes) end({ limit: "value_bytes" });
    end(undefined, value);
  };

  // --- chance and time of the run's own, wherever the web has them

  const { defineProperty, getOwnPropertyDescriptor } = Object;
  const { apply, construct } = Reflect;
  const ownChance = () => {
    const roll = globalThis.Math.random;
    const fill = (bytes) => { for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(roll() * 256); };
    kit.define(Crypto.prototype, "getRandomValues", (array) => {
      fill(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
      return array;
    });
    kit.define(Crypto.prototype, "randomUUID", () => {
      const bytes = new Uint8Array(16);
      fill(bytes);
      bytes[6] = (bytes[6] & 15) | 64;
      bytes[8] = (bytes[8] & 63) | 128;
      const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    });
    // V8 has chance of its own for these, and their outcome would never be the same twice.
    const subtle = Object.getPrototypeOf(crypto.subtle);
    const drawing = (name, instead, draws) => {
      const stock = subtle[name];
      kit.define(subtle, name, async function (...given) {
        const of = given.map((one) => `${one?.name ?? one}`.toUpperCase());
        if (draws(of, given)) throw new Error(`crypto.subtle.${name} is not available for this: its outcome is another each time; ${instead}`);
        return await apply(stock, this, given);
      });
    };
    const bytes = 'draw the bytes with crypto.getRandomValues and take importKey("raw", bytes, ...), or pass keys in with input';
    drawing("generateKey", bytes, () => true);
    drawing("encrypt", "encrypt with AES", ([algorithm]) => algorithm === "RSA-OAEP");
    drawing("wrapKey", "wrap with AES", ([, , , algorithm]) => algorithm === "RSA-OAEP");
    drawing("sign", "sign with another algorithm", ([algorithm], [given]) => algorithm === "RSA-PSS" && given.saltLength !== 0);
  };
  const nowMs = globalThis.Date.now;
  const elapsedMs = () => look() / 1000;
  // A time that an object has from its making is told as that of the first look at it, unless the
  // program gave it itself: then it stands among the options.
  const stamp = (kind, name, clock, options) => {
    const stock = globalThis[kind];
    const holder = [stock, Object.getPrototypeOf(stock)].find((one) => getOwnPropertyDescriptor(one.prototype ?? {}, name));
    const read = getOwnPropertyDescriptor(holder.prototype, name).get;
    const given = new WeakSet(), seen = new WeakMap();
    defineProperty(holder.prototype, name, {
      configurable: true,
      enumerable: true,
      get() {
        const real = apply(read, this, []);
        if (given.has(this)) return real;
        if (!seen.has(this)) seen.set(this, clock());
        return seen.get(this);
      },
    });
    if (options === undefined) return;
    const Own = function (...args) {
      const made = construct(stock, args, new.target === Own ? stock : new.target ?? stock);
      if (args[options]?.[name] !== undefined) given.add(made);
      return made;
    };
    defineProperty(Own, "name", { value: kind });
    defineProperty(Own, "prototype", { value: stock.prototype });
    kit.define(stock.prototype, "constructor", Own);
    kit.define(globalThis, kind, Own);
  };
  const ownTime = () => {
    stamp("Event", "timeStamp", elapsedMs);
    stamp("File", "lastModified", nowMs, 2);
    stamp("PerformanceMark", "startTime", elapsedMs, 1);
    const format = Intl.DateTimeFormat.prototype;
    const { get } = getOwnPropertyDescriptor(format, "format");
    const bound = new WeakMap();
    defineProperty(format, "format", {
      configurable: true,
      get() {
        const stock = apply(get, this, []);
        if (!bound.has(this)) bound.set(this, (date) => stock(date === undefined ? nowMs() : date));
        return bound.get(this);
      },
    });
    const parts = format.formatToParts;
    kit.define(format, "formatToParts", function formatToParts(date) {
      return apply(parts, this, [date === undefined ? nowMs() : date]);
    });
    if (globalThis.Temporal === undefined) return;
    const { Now, Instant } = Temporal;
    const instant = () => Instant.fromEpochNanoseconds(BigInt(unixMs * 1000 + look()) * 1000n);
    const zoned = (zone = Now.timeZoneId()) => instant().toZonedDateTimeISO(zone);
    kit.define(Now, "instant", instant);
    kit.define(Now, "zonedDateTimeISO", zoned);
    kit.define(Now, "plainDateTimeISO", (zone) => zoned(zone).toPlainDateTime());
    kit.define(Now, "plainDateISO", (zone) => zoned(zone).toPlainDate());
    kit.define(Now, "plainTimeISO", (zone) => zoned(zone).toPlainTime());
  };

  const [, payload] = await receive();
  const begin = JSON.parse(decoder.decode(payload));
  limits = begin.limits;
  began = wallNow();
  unixMs = begin.now_ms;
  random = BigInt(begin.seed);
  races = begin.races;
  try {
    const modules = MODULES(Node, { Deno, define: kit.define, realInterval, realStop, told: BUILTINS });
    const kept = new Set([...GLOBALS.split(/\s+/), "ask", "scratch", "session", GC]);
    // It cannot be deleted.
    globalThis[GC] = undefined;
    for (const name of Object.getOwnPropertyNames(globalThis)) if (!kept.has(name)) delete globalThis[name];
    ownChance();
    ownTime();
    if (begin.imports) modules.offer();
    for (const name of begin.namespaces) kit.bind(name);
    globalThis.input = begin.input;
    const program = realEval(`"use strict";${begin.text}\n//# sourceURL=program`);
    kit.finish(() => program(modules.imported)).then((json) => {
      value = whole(json);
      valued = true;
      // The value leaves before the time is over, whatever is still under way. V8 is not kept busy.
      Deno.unrefTimer(realTimeout(finish, left()));
      turn();
    }, fail);
    hop();
  } catch (error) {
    fail(error);
  }
}
