// The names of the last program of a session, which the next one finds: each is read and written
// where it is, in the program that declared it, so that its functions and the next program mean the
// same variable.
(function () {
  "use strict";
  const global = globalThis;
  const { defineProperty } = Reflect;
  const { getOwnPropertyDescriptor } = Object;

  // A list, each with what the name stood for before.
  let kept;

  // Called by a program as it begins: names, each with two functions, one that reads and one that writes.
  function keep(names) {
    for (let i = 0; i < names.length; i += 3) {
      const name = names[i];
      const get = names[i + 1];
      const before = getOwnPropertyDescriptor(global, name);
      const is = { __proto__: null, get, set: names[i + 2], enumerable: true, configurable: true };
      if (defineProperty(global, name, is)) kept = { __proto__: null, name, get, before, next: kept };
    }
  }

  // The program is over: what it did not come to define is as it was.
  function settle() {
    for (; kept !== undefined; kept = kept.next) {
      try {
        kept.get();
      } catch {
        if (kept.before === undefined) delete global[kept.name];
        else defineProperty(global, kept.name, kept.before);
      }
    }
  }

  return { __proto__: null, keep, settle };
})
