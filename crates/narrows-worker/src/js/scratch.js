// A program's scratch files: a small file system in the heap of its own realm, which counts as its
// memory and is gone with it. Nothing of it is journaled: a program that is run again writes the
// same again. The program shares this realm; if it breaks what this uses, it breaks its own files.
(function (prelude) {
  "use strict";
  const { host, invoke, uncurry, plain, kindOf } = prelude;
  const { Array, ArrayBuffer, Error, Map, Object, String, TypeError, Uint8Array } = globalThis;
  const { isArray } = Array;
  const { isView } = ArrayBuffer;
  const { fromCharCode } = String;
  const { stringify } = JSON;
  const { apply } = Reflect;
  const { keys: objectKeys } = Object;
  const has = uncurry(Map.prototype.has);
  const get = uncurry(Map.prototype.get);
  const set = uncurry(Map.prototype.set);
  const remove = uncurry(Map.prototype.delete);
  const each = uncurry(Map.prototype.forEach);
  const empty = uncurry(Map.prototype.clear);
  const matches = uncurry(RegExp.prototype.test);
  const join = uncurry(Array.prototype.join);
  const sort = uncurry(Array.prototype.sort);
  const codeAt = uncurry(String.prototype.charCodeAt);
  const indexOf = uncurry(String.prototype.indexOf);
  const slice = uncurry(String.prototype.slice);
  const starts = uncurry(String.prototype.startsWith);
  const wellFormed = uncurry(String.prototype.toWellFormed);
  const copy = uncurry(Uint8Array.prototype.set);

  // --- text as bytes

  const WIDE = /[^\x00-\x7f]/;
  const CHUNK = 4096;

  function sizeOf(text) {
    if (!matches(WIDE, text)) return text.length;
    let size = 0;
    for (let i = 0; i < text.length; i++) {
      const code = codeAt(text, i);
      // Each half of a pair stands for two of its four bytes.
      size += code < 0x80 ? 1 : code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 2 : 3;
    }
    return size;
  }

  function encoded(text) {
    const bytes = new Uint8Array(sizeOf(text));
    let at = 0;
    for (let i = 0; i < text.length; i++) {
      let code = codeAt(text, i);
      if (code < 0x80) { bytes[at++] = code; continue; }
      if (code >= 0xd800 && code < 0xe000) code = 0x10000 + ((code & 0x3ff) << 10) + (codeAt(text, ++i) & 0x3ff);
      if (code < 0x800) bytes[at++] = 0xc0 | (code >> 6);
      else {
        if (code < 0x10000) bytes[at++] = 0xe0 | (code >> 12);
        else { bytes[at++] = 0xf0 | (code >> 18); bytes[at++] = 0x80 | ((code >> 12) & 63); }
        bytes[at++] = 0x80 | ((code >> 6) & 63);
      }
      bytes[at++] = 0x80 | (code & 63);
    }
    return bytes;
  }

  // The text, or undefined where the bytes are no UTF-8.
  function decoded(bytes) {
    let text = "", part = [];
    for (let at = 0; at < bytes.length;) {
      let code = bytes[at++];
      if (code >= 0x80) {
        const more = code >= 0xc2 && code < 0xe0 ? 1 : code >= 0xe0 && code < 0xf0 ? 2 : code >= 0xf0 && code < 0xf5 ? 3 : 0;
        if (more === 0) return undefined;
        code &= 0x3f >> more;
        for (let k = 0; k < more; k++) {
          const next = bytes[at++];
          if (next === undefined || next >> 6 !== 2) return undefined;
          code = (code << 6) | (next & 63);
        }
        const least = more === 1 ? 0x80 : more === 2 ? 0x800 : 0x10000;
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return undefined;
      }
      if (code < 0x10000) part[part.length] = code;
      else {
        part[part.length] = 0xd7c0 + (code >> 10);
        part[part.length] = 0xdc00 | (code & 0x3ff);
      }
      if (part.length >= CHUNK) {
        text += apply(fromCharCode, String, part);
        part = [];
      }
    }
    return text + apply(fromCharCode, String, part);
  }

  const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  function base64(bytes) {
    let text = "";
    for (let at = 0; at < bytes.length; at += 3) {
      const rest = bytes.length - at;
      const group = (bytes[at] << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
      text += DIGITS[group >> 18] + DIGITS[(group >> 12) & 63];
      text += rest > 1 ? DIGITS[(group >> 6) & 63] : "=";
      text += rest > 2 ? DIGITS[group & 63] : "=";
    }
    return text;
  }

  // --- paths

  const ROOT = "/scratch/";
  const PATH_BYTES_MAX = 255;
  const NAMED_MAX = 10;
  const PATH = /^(?!\.{1,2}(?:\/|$))[^\/\\\x00-\x1f\x7f]+(?:\/(?!\.{1,2}(?:\/|$))[^\/\\\x00-\x1f\x7f]+){0,15}$/;

  function pathOf(name, given) {
    if (typeof given !== "string") {
      throw new TypeError(`scratch.${name} takes a path, got ${kindOf(given)}: scratch.${name}("notes.txt")`);
    }
    const path = starts(given, ROOT) ? slice(given, ROOT.length) : starts(given, "./") ? slice(given, 2) : given;
    const good = path.length <= PATH_BYTES_MAX && path === wellFormed(path) && sizeOf(path) <= PATH_BYTES_MAX;
    if (good && matches(PATH, path)) return path;
    const shown = stringify(wellFormed(slice(given, 0, 64)));
    throw new Error(`${shown} is no path for scratch.${name}: write one such as notes.txt or out/a.csv, of at most ${PATH_BYTES_MAX} bytes and 16 levels, without ..`);
  }

  // Calls `at` with each folder that a path lies in.
  function above(path, at) {
    for (let i = indexOf(path, "/"); i >= 0; i = indexOf(path, "/", i + 1)) at(slice(path, 0, i));
  }

  // --- files: each is parts that were written one after the other, of text or of bytes

  const files = new Map();
  // Folders are there as long as something lies in them: with how many files that is.
  const folders = new Map();
  let used = 0;

  function paths(prefix) {
    const found = [];
    each(files, (_, path) => { if (starts(path, prefix)) found[found.length] = path; });
    return sort(found);
  }

  function fileAt(name, given) {
    const path = pathOf(name, given);
    const file = get(files, path);
    if (file !== undefined) return { path, file };
    if (has(folders, path)) throw new Error(`${path} is a folder: scratch.list(${stringify(`${path}/`)}) tells its files`);
    const there = paths("");
    const more = there.length - NAMED_MAX;
    if (more > 0) there.length = NAMED_MAX;
    const told = there.length === 0 ? "there are none yet" : `there are ${join(there, ", ")}${more > 0 ? ` and ${more} more` : ""}`;
    throw new Error(`no file ${path}; ${told}`);
  }

  function content(name, data) {
    if (typeof data === "string") return wellFormed(data);
    if (isView(data)) return new Uint8Array(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    if (data instanceof ArrayBuffer) return new Uint8Array(new Uint8Array(data));
    if (isArray(data) || plain(data)) return wellFormed(stringify(data) ?? "null");
    throw new TypeError(`scratch.${name} takes text, bytes, an object or an array, got ${kindOf(data)}: scratch.${name}("notes.txt", \`\${value}\`)`);
  }

  function put(name, given, data, after) {
    const path = pathOf(name, given);
    const part = content(name, data);
    const size = typeof part === "string" ? sizeOf(part) : part.length;
    const old = get(files, path);
    let entries = files.size + folders.size;
    if (old === undefined) {
      entries++;
      if (has(folders, path)) throw new Error(`${path} is a folder: write to a file in it, such as ${path}/a.txt`);
      above(path, (folder) => {
        if (has(files, folder)) throw new Error(`${folder} is a file: nothing can lie in it`);
        if (!has(folders, folder)) entries++;
      });
    }
    const total = used + size - (after || old === undefined ? 0 : old.size);
    // Does not come back where that is more than the run may keep.
    host.disk(total, entries);
    used = total;
    if (old === undefined) above(path, (folder) => { set(folders, folder, (get(folders, folder) ?? 0) + 1); });
    if (old !== undefined && after) {
      old.parts[old.parts.length] = part;
      old.size += size;
    } else set(files, path, { __proto__: null, parts: [part], size });
  }

  // All of a file, as text if nothing but text was written to it, else as bytes.
  function whole(file) {
    const { parts } = file;
    if (parts.length === 1) return parts[0];
    let text = true;
    for (let i = 0; i < parts.length; i++) text &&= typeof parts[i] === "string";
    let all;
    if (text) all = join(parts, "");
    else {
      all = new Uint8Array(file.size);
      for (let i = 0, at = 0; i < parts.length; i++) {
        const part = typeof parts[i] === "string" ? encoded(parts[i]) : parts[i];
        copy(all, part, at);
        at += part.length;
      }
    }
    file.parts = [all];
    return all;
  }

  function bytesOf(file) {
    const all = whole(file);
    return typeof all === "string" ? encoded(all) : new Uint8Array(all);
  }

  // --- what programs call

  const scratch = {
    write(path, data) { put("write", path, data, false); },
    append(path, data) { put("append", path, data, true); },
    read(given) {
      const { path, file } = fileAt("read", given);
      const all = whole(file);
      const text = typeof all === "string" ? all : decoded(all);
      if (text === undefined) throw new Error(`${path} is no text: read it by scratch.bytes(${stringify(path)})`);
      return text;
    },
    bytes: (given) => bytesOf(fileAt("bytes", given).file),
    list(prefix) {
      if (prefix !== undefined && typeof prefix !== "string") {
        throw new TypeError(`scratch.list takes the beginning of paths, got ${kindOf(prefix)}: scratch.list("out/")`);
      }
      const beginning = prefix ?? "";
      return paths(starts(beginning, ROOT) ? slice(beginning, ROOT.length) : starts(beginning, "./") ? slice(beginning, 2) : beginning);
    },
    exists: (given) => has(files, pathOf("exists", given)),
    delete(given) {
      const path = pathOf("delete", given);
      const file = get(files, path);
      if (file === undefined) return false;
      remove(files, path);
      used -= file.size;
      above(path, (folder) => {
        const count = get(folders, folder) - 1;
        if (count > 0) set(folders, folder, count);
        else remove(folders, folder);
      });
      return true;
    },
    async keep(given) {
      const { path, file } = fileAt("keep", given);
      return await invoke("narrows", "scratch_keep", "scratch.keep", { path, ...saved(file) });
    },
    async save() {
      const all = { __proto__: null };
      const names = paths("");
      for (let i = 0; i < names.length; i++) all[names[i]] = saved(get(files, names[i]));
      await invoke("narrows", "scratch_save", "scratch.save", { files: all });
    },
    async load() {
      const all = await invoke("narrows", "scratch_load", "scratch.load", {});
      const names = objectKeys(all);
      for (let i = 0; i < names.length; i++) {
        const { text, base64 } = all[names[i]];
        put("load", names[i], text ?? unpacked(base64), false);
      }
      return sort(names);
    },
  };

  // --- files as they leave

  function saved(file) {
    const all = whole(file);
    return typeof all === "string" ? { text: all } : { base64: base64(all) };
  }

  function unpacked(text) {
    const size = text.length / 4 * 3 - (text[text.length - 2] === "=" ? 2 : text[text.length - 1] === "=" ? 1 : 0);
    const bytes = new Uint8Array(size);
    for (let i = 0, at = 0; i < text.length; i += 4) {
      let group = 0;
      for (let k = 0; k < 4; k++) group = (group << 6) | (text[i + k] === "=" ? 0 : indexOf(DIGITS, text[i + k]));
      for (let shift = 16; shift >= 0 && at < size; shift -= 8) bytes[at++] = (group >> shift) & 255;
    }
    return bytes;
  }

  function clear() {
    empty(files);
    empty(folders);
    used = 0;
  }

  return { __proto__: null, scratch: Object.freeze(scratch), clear };
})
