// What programs know from browsers and Node and the engine lacks: URL, URLSearchParams,
// TextEncoder, TextDecoder, structuredClone. They follow the standards as far as programs that
// call tools need: UTF-8 only, hosts without punycode. Called once, before the fork; nothing here
// is trusted by the host, so a program that overwrites what these use breaks only itself.
(function (global, define) {
  "use strict";

  // --- text and bytes

  function encodeUtf8(text) {
    text = text.toWellFormed();
    const out = [];
    for (const char of text) {
      const code = char.codePointAt(0);
      if (code < 0x80) out.push(code);
      else if (code < 0x800) out.push(0xc0 | (code >> 6), 0x80 | (code & 63));
      else if (code < 0x10000) out.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
      else out.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    }
    return out;
  }

  // Decodes whole characters from `at`; gives the text and where an unfinished character begins.
  function decodeUtf8(bytes, fatal, last) {
    let text = "";
    let part = [];
    let at = 0;
    const put = (code) => {
      part.push(code);
      if (part.length >= 4096) {
        text += String.fromCodePoint(...part);
        part = [];
      }
    };
    const bad = () => {
      if (fatal) throw new TypeError("the bytes are no UTF-8");
      put(0xfffd);
    };
    while (at < bytes.length) {
      const first = bytes[at];
      if (first < 0x80) {
        put(first);
        at += 1;
        continue;
      }
      const more = first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : 0;
      if (more === 0) {
        bad();
        at += 1;
        continue;
      }
      let code = first & (0x3f >> more);
      let seen = 1;
      for (; seen <= more && at + seen < bytes.length; seen++) {
        const next = bytes[at + seen];
        let low = 0x80;
        let high = 0xbf;
        if (seen === 1 && first === 0xe0) low = 0xa0;
        if (seen === 1 && first === 0xed) high = 0x9f;
        if (seen === 1 && first === 0xf0) low = 0x90;
        if (seen === 1 && first === 0xf4) high = 0x8f;
        if (next < low || next > high) break;
        code = (code << 6) | (next & 63);
      }
      if (seen > more) put(code);
      else if (at + seen >= bytes.length && !last) break;
      else bad();
      at += seen;
    }
    return { text: text + String.fromCodePoint(...part), rest: bytes.slice(at) };
  }

  class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return Uint8Array.from(encodeUtf8(`${text}`)); }
    encodeInto(text, into) {
      let read = 0;
      let written = 0;
      for (const char of `${text}`) {
        const bytes = encodeUtf8(char);
        if (written + bytes.length > into.length) break;
        into.set(bytes, written);
        written += bytes.length;
        read += char.length;
      }
      return { read, written };
    }
  }

  class TextDecoder {
    #rest = new Uint8Array(0);
    #start = true;
    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      const name = `${label}`.trim().toLowerCase();
      if (!["utf-8", "utf8", "unicode-1-1-utf-8"].includes(name)) {
        throw new RangeError(`the encoding ${label} is not available: only utf-8 is`);
      }
      this.encoding = "utf-8";
      this.fatal = Boolean(fatal);
      this.ignoreBOM = Boolean(ignoreBOM);
    }
    decode(input = new Uint8Array(0), { stream = false } = {}) {
      const given = ArrayBuffer.isView(input)
        ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
        : new Uint8Array(input);
      const bytes = new Uint8Array(this.#rest.length + given.length);
      bytes.set(this.#rest);
      bytes.set(given, this.#rest.length);
      const { text, rest } = decodeUtf8(bytes, this.fatal, !stream);
      const mark = this.#start && !this.ignoreBOM && text.charCodeAt(0) === 0xfeff;
      this.#start = !stream || (this.#start && text.length === 0);
      this.#rest = stream ? rest : new Uint8Array(0);
      return mark ? text.slice(1) : text;
    }
  }

  // --- addresses

  const hex = (byte) => `%${byte < 16 ? "0" : ""}${byte.toString(16).toUpperCase()}`;
  const escapeAll = (text, keep) => {
    let out = "";
    for (const char of text.toWellFormed()) out += keep.test(char) ? char : encodeUtf8(char).map(hex).join("");
    return out;
  };
  const inPath = /[\w!$&'()*+,\-./:;=@~%|[\]\\^]/;
  const inQuery = /[\w!$&()*+,\-./:;=?@~%|[\]\\^`{}]/;
  const inFragment = /[\w!$&'()*+,\-./:;=?@~%|[\]\\^#{}]/;
  const inUser = /[\w!$&'()*+,\-.~%]/;

  const unescapeForm = (text) => {
    const bytes = encodeUtf8(text.replaceAll("+", " "));
    const out = [];
    for (let i = 0; i < bytes.length; i++) {
      const digits = bytes[i] === 37 ? String.fromCharCode(bytes[i + 1] ?? 0, bytes[i + 2] ?? 0) : "";
      if (/^[0-9a-f]{2}$/i.test(digits)) {
        out.push(Number.parseInt(digits, 16));
        i += 2;
      } else out.push(bytes[i]);
    }
    return decodeUtf8(Uint8Array.from(out), false, true).text;
  };
  const escapeForm = (text) => escapeAll(text, /[\w*\-. ]/).replaceAll(" ", "+");

  class URLSearchParams {
    #pairs = [];
    #changed = () => {};
    constructor(init = "", changed = undefined) {
      if (typeof changed === "function") this.#changed = changed;
      if (typeof init === "object" && init !== null) {
        const pairs = Symbol.iterator in init ? [...init] : Object.entries(init);
        for (const pair of pairs) {
          const [name, value, ...more] = pair;
          if (value === undefined || more.length > 0) throw new TypeError("a query needs pairs of a name and a value");
          this.#pairs.push([`${name}`, `${value}`]);
        }
      } else this.#read(`${init}`);
    }
    #read(text) {
      const parts = text.replace(/^\?/, "").split("&").filter((part) => part !== "");
      this.#pairs = parts.map((part) => {
        const at = part.indexOf("=");
        return at < 0 ? [unescapeForm(part), ""] : [unescapeForm(part.slice(0, at)), unescapeForm(part.slice(at + 1))];
      });
    }
    get size() { return this.#pairs.length; }
    append(name, value) { this.#pairs.push([`${name}`, `${value}`]); this.#changed(this); }
    delete(name, value) {
      this.#pairs = this.#pairs.filter(([n, v]) => n !== `${name}` || (value !== undefined && v !== `${value}`));
      this.#changed(this);
    }
    get(name) { return this.#pairs.find(([n]) => n === `${name}`)?.[1] ?? null; }
    getAll(name) { return this.#pairs.filter(([n]) => n === `${name}`).map(([, v]) => v); }
    has(name, value) { return this.#pairs.some(([n, v]) => n === `${name}` && (value === undefined || v === `${value}`)); }
    set(name, value) {
      const at = this.#pairs.findIndex(([n]) => n === `${name}`);
      if (at < 0) return this.append(name, value);
      this.#pairs[at][1] = `${value}`;
      this.#pairs = this.#pairs.filter(([n], i) => i <= at || n !== `${name}`);
      this.#changed(this);
    }
    sort() { this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)); this.#changed(this); }
    forEach(run, self) { for (const [name, value] of this.#pairs) run.call(self, value, name, this); }
    *entries() { for (const [name, value] of this.#pairs) yield [name, value]; }
    *keys() { for (const [name] of this.#pairs) yield name; }
    *values() { for (const [, value] of this.#pairs) yield value; }
    [Symbol.iterator]() { return this.entries(); }
    toString() { return this.#pairs.map(([n, v]) => `${escapeForm(n)}=${escapeForm(v)}`).join("&"); }
    toJSON() { return this.toString(); }
  }

  const ports = { __proto__: null, "http:": "80", "https:": "443", "ws:": "80", "wss:": "443", "ftp:": "21", "file:": "" };
  const form = /^([a-z][a-z0-9+.-]*:)?(\/\/([^/?#]*))?([^?#]*)(\?[^#]*)?(#.*)?$/is;

  function normalize(path) {
    const out = [];
    const parts = path.split("/").slice(1);
    parts.forEach((part, i) => {
      const dots = part.replace(/%2e/gi, ".");
      const last = i === parts.length - 1;
      if (dots === "..") {
        out.pop();
        if (last) out.push("");
      } else if (dots === ".") {
        if (last) out.push("");
      } else out.push(part);
    });
    return `/${out.join("/")}`;
  }

  function parseHost(host, special) {
    if (/^\[[0-9a-f:.]+\]$/i.test(host)) return host.toLowerCase();
    if (!special) return escapeAll(host, inUser);
    const name = unescapeForm(host.replaceAll("+", "%2B")).toLowerCase();
    if (name === "" || /[\u0000-\u0020#%/:<>?@[\\\]^|\u007f]/.test(name)) return undefined;
    return name;
  }

  // A record of the parts, or undefined.
  function parse(text, base) {
    text = text.replace(/^[\u0000-\u0020]+|[\u0000-\u0020]+$/g, "").replace(/[\t\n\r]/g, "");
    const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(text)?.[0].toLowerCase() ?? base?.protocol;
    if (scheme === undefined) return undefined;
    const special = scheme in ports;
    if (special) {
      const end = text.search(/[?#]/);
      text = end < 0 ? text.replaceAll("\\", "/") : text.slice(0, end).replaceAll("\\", "/") + text.slice(end);
      // `https:a.b/c` and `https:///a.b/c` mean `https://a.b/c`.
      if (scheme !== "file:" && /^[a-z][a-z0-9+.-]*:/i.test(text)) text = text.replace(/:\/*/, "://");
    }
    const [, own, authority, inside, path, query, hash] = form.exec(text) ?? [];
    const out = {
      __proto__: null, protocol: scheme, special, username: "", password: "", hostname: "", port: "",
      opaque: false, authority: authority !== undefined || special, pathname: "", search: "", hash: "",
    };
    if (own === undefined && authority === undefined) {
      if (base.opaque && !(path === "" && hash !== undefined)) return undefined;
      for (const key of ["username", "password", "hostname", "port", "opaque", "authority"]) out[key] = base[key];
    } else if (authority !== undefined && !parseAuthority(out, inside)) return undefined;
    // A lone `?` or `#` stays in `href` and is nothing in `search` and `hash`.
    out.search = query === undefined ? "" : escapeAll(query, inQuery);
    out.hash = hash === undefined ? "" : `#${escapeAll(hash.slice(1), inFragment)}`;
    if (own === undefined && authority === undefined && path === "") {
      out.pathname = base.pathname;
      if (query === undefined) out.search = base.search;
    } else setPath(out, path, own === undefined && authority === undefined ? base : undefined);
    return out;
  }

  function setPath(out, path, base) {
    if (base !== undefined && !path.startsWith("/")) path = base.pathname.replace(/[^/]*$/, "") + path;
    if (!out.authority && !path.startsWith("/")) {
      out.opaque = true;
      out.pathname = path;
      return;
    }
    path = escapeAll(path, inPath);
    out.pathname = path === "" && !out.special ? "" : normalize(path.startsWith("/") ? path : `/${path}`);
  }

  function parseAuthority(out, text) {
    const at = text.lastIndexOf("@");
    if (at >= 0) {
      const [name, ...secret] = text.slice(0, at).split(":");
      out.username = escapeAll(name, inUser);
      out.password = escapeAll(secret.join(":"), inUser);
    }
    const [, host, port] = /^(.*?)(?::(\d*))?$/s.exec(text.slice(at + 1)) ?? [];
    if (host === "" && out.protocol !== "file:" && out.special) return false;
    const name = host === "" ? "" : parseHost(host, out.special);
    if (name === undefined || Number(port ?? 0) > 65535) return false;
    out.hostname = out.protocol === "file:" && name === "localhost" ? "" : name;
    setPort(out, port ?? "");
    return true;
  }

  function setPort(out, port) {
    const number = port === "" ? "" : `${Number(port)}`;
    out.port = number === ports[out.protocol] ? "" : number;
  }

  class URL {
    #parts;
    #query;
    constructor(text, base) {
      const from = base === undefined ? undefined : parse(`${base}`);
      if (base !== undefined && from === undefined) throw new TypeError(`invalid base URL: ${base}`);
      const parts = parse(`${text}`, from);
      if (parts === undefined) throw new TypeError(`invalid URL: ${text}`);
      this.#parts = parts;
    }
    static canParse(text, base) { return URL.parse(text, base) !== null; }
    static parse(text, base) {
      try {
        return new URL(text, base);
      } catch {
        return null;
      }
    }
    get href() {
      const { protocol, username, password, authority, pathname, search, hash } = this.#parts;
      const user = username === "" && password === "" ? "" : `${username}${password === "" ? "" : `:${password}`}@`;
      return `${protocol}${authority ? `//${user}${this.host}` : ""}${pathname}${search}${hash}`;
    }
    set href(text) { this.#parts = new URL(text).#parts; this.#query = undefined; }
    get origin() {
      const { protocol, special } = this.#parts;
      return special && protocol !== "file:" ? `${protocol}//${this.host}` : "null";
    }
    get host() { return this.#parts.hostname + (this.#parts.port === "" ? "" : `:${this.#parts.port}`); }
    set host(text) {
      const parts = { ...this.#parts, username: "", password: "" };
      if (!this.#parts.opaque && !`${text}`.includes("@") && parseAuthority(parts, `${text}`.replace(/[/?#].*$/s, ""))) {
        this.#parts.hostname = parts.hostname;
        if (/:\d+$/.test(`${text}`)) this.#parts.port = parts.port;
      }
    }
    get hostname() { return this.#parts.hostname; }
    set hostname(text) { if (!`${text}`.includes(":")) this.host = text; }
    get port() { return this.#parts.port; }
    set port(text) { if (/^\d*$/.test(`${text}`) && Number(text) < 65536) setPort(this.#parts, `${text}`); }
    get protocol() { return this.#parts.protocol; }
    set protocol(text) {
      const scheme = `${`${text}`.replace(/:.*$/s, "").toLowerCase()}:`;
      if (scheme in ports !== this.#parts.special || !/^[a-z][a-z0-9+.-]*:$/.test(scheme)) return;
      this.#parts.protocol = scheme;
      setPort(this.#parts, this.#parts.port);
    }
    get username() { return this.#parts.username; }
    set username(text) { this.#parts.username = escapeAll(`${text}`, inUser); }
    get password() { return this.#parts.password; }
    set password(text) { this.#parts.password = escapeAll(`${text}`, inUser); }
    get pathname() { return this.#parts.pathname; }
    set pathname(text) {
      if (!this.#parts.opaque) setPath(this.#parts, `${text}`.replaceAll("?", "%3F").replaceAll("#", "%23"));
    }
    get search() { return this.#parts.search === "?" ? "" : this.#parts.search; }
    set search(text) {
      const query = `${text}`.replace(/^\?/, "");
      this.#parts.search = query === "" ? "" : `?${escapeAll(query, inQuery)}`;
      this.#query = undefined;
    }
    get searchParams() {
      return (this.#query ??= new URLSearchParams(this.#parts.search, (query) => {
        const text = query.toString();
        this.#parts.search = text === "" ? "" : `?${text}`;
      }));
    }
    get hash() { return this.#parts.hash === "#" ? "" : this.#parts.hash; }
    set hash(text) {
      const fragment = `${text}`.replace(/^#/, "");
      this.#parts.hash = fragment === "" ? "" : `#${escapeAll(fragment, inFragment)}`;
    }
    toString() { return this.href; }
    toJSON() { return this.href; }
  }

  // --- copies

  const errors = { __proto__: null, Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
  const refuse = (value) => {
    throw new DOMException(`${typeof value === "object" ? "this object" : `a ${typeof value}`} cannot be cloned`, "DataCloneError");
  };

  function clone(value, seen) {
    if (typeof value === "function" || typeof value === "symbol") refuse(value);
    if (typeof value !== "object" || value === null) return value;
    if (seen.has(value)) return seen.get(value);
    const keep = (copy) => {
      seen.set(value, copy);
      return copy;
    };
    if (value instanceof Date) return keep(new Date(value.getTime()));
    if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
    if (value instanceof Boolean || value instanceof Number || value instanceof String) return keep(Object(value.valueOf()));
    if (value instanceof ArrayBuffer) return keep(value.slice(0));
    if (value instanceof DataView) return keep(new DataView(clone(value.buffer, seen), value.byteOffset, value.byteLength));
    if (ArrayBuffer.isView(value)) return keep(new value.constructor(clone(value.buffer, seen), value.byteOffset, value.length));
    if (value instanceof Map) {
      const copy = keep(new Map());
      for (const [key, item] of [...value]) copy.set(clone(key, seen), clone(item, seen));
      return copy;
    }
    if (value instanceof Set) {
      const copy = keep(new Set());
      for (const item of [...value]) copy.add(clone(item, seen));
      return copy;
    }
    if (value instanceof Error) {
      const copy = keep(new (errors[value.name] ?? Error)(`${value.message}`));
      if ("cause" in value) define(copy, "cause", clone(value.cause, seen));
      return copy;
    }
    if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet) refuse(value);
    const copy = keep(Array.isArray(value) ? new Array(value.length) : {});
    for (const key of Object.keys(value)) {
      const item = clone(value[key], seen);
      Object.defineProperty(copy, key, { value: item, writable: true, enumerable: true, configurable: true });
    }
    return copy;
  }

  define(global, "TextEncoder", TextEncoder);
  define(global, "TextDecoder", TextDecoder);
  define(global, "URLSearchParams", URLSearchParams);
  define(global, "URL", URL);
  define(global, "structuredClone", function structuredClone(value) {
    return clone(value, new Map());
  });
})
