// What the engine does not know of languages: order of texts, numbers and dates as American English
// writes them, in UTC. What it would get wrong it refuses. Called once, before the fork.
(function (global, define) {
  "use strict";

  // Reads options; one that is not known here is an error, for ignoring it gives wrong texts.
  function read(what, options, known) {
    const given = { __proto__: null, ...options };
    for (const key of Object.keys(given)) {
      const value = given[key];
      if (value === undefined) delete given[key];
      else if (known[key] === undefined || (known[key] !== true && !known[key].includes(`${value}`))) {
        throw new RangeError(`${what}: ${key} ${JSON.stringify(value)} is not available here; write code of your own`);
      }
    }
    return given;
  }
  const language = (locales) => `${(Array.isArray(locales) ? locales[0] : locales) ?? "en-US"}`;
  function english(what, locales) {
    const name = language(locales);
    if (!/^en(-US)?$/i.test(name)) throw new RangeError(`${what}: only en-US is available here, not ${name}`);
  }

  // --- order

  const marks = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";
  const accents = /[\u0300-\u036f]/g;
  const ascii = /^[\0-\x7f]*$/;
  const plain = (text) => (ascii.test(text) ? text : text.normalize("NFD"));
  const sign = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const isDigit = (code) => code >= 48 && code <= 57;
  const rank = (char) => {
    const at = marks.indexOf(char);
    return at >= 0 ? at + 33 : char.charCodeAt(0) < 33 ? char.charCodeAt(0) : char.charCodeAt(0) + 64;
  };

  function digits(text, from) {
    let end = from;
    while (isDigit(text.charCodeAt(end))) end++;
    return end;
  }

  function byLetters(a, b, numeric) {
    let i = 0;
    let j = 0;
    while (i < a.length && j < b.length) {
      if (numeric && isDigit(a.charCodeAt(i)) && isDigit(b.charCodeAt(j))) {
        const [x, y] = [a.slice(i, (i = digits(a, i))), b.slice(j, (j = digits(b, j)))].map((run) => run.replace(/^0+/, ""));
        const order = sign(x.length, y.length) || sign(x, y);
        if (order !== 0) return order;
      } else {
        const order = a[i] === b[j] ? 0 : sign(rank(a[i]), rank(b[j]));
        if (order !== 0) return order;
        i++;
        j++;
      }
    }
    return sign(a.length - i, b.length - j);
  }

  const order = { __proto__: null, numeric: true, sensitivity: ["base", "accent", "case", "variant"], usage: ["sort"], caseFirst: ["false", "lower"] };
  define(String.prototype, "localeCompare", function localeCompare(other, locales, options) {
    const [a, b] = [plain(`${this}`), plain(`${other}`)];
    if (a === b) return 0;
    let { numeric, sensitivity } = options === undefined ? {} : read("localeCompare", options, order);
    numeric ??= locales !== undefined && /-u(-\w+)*-kn(-true)?\b/.test(language(locales));
    const [bareA, bareB] = [a.replace(accents, ""), b.replace(accents, "")];
    const letters = byLetters(bareA.toLowerCase(), bareB.toLowerCase(), numeric);
    if (letters !== 0 || sensitivity === "base") return letters;
    const accent = sensitivity === "case" ? 0 : sign(a.toLowerCase(), b.toLowerCase());
    if (accent !== 0 || sensitivity === "accent") return accent;
    // Small letters come first.
    return -sign(bareA, bareB);
  });

  // --- numbers

  const group = (text) => text.replace(/\B(?=(\d{3})+$)/g, ",");
  const signs = { __proto__: null, USD: "$", EUR: "€", GBP: "£", JPY: "¥", INR: "₹", CNY: "CN¥", CAD: "CA$", AUD: "A$" };
  const numbers = {
    __proto__: null, style: ["decimal", "percent", "currency"], currency: true, useGrouping: ["true", "false", "auto", "always"],
    minimumFractionDigits: true, maximumFractionDigits: true, notation: ["standard"], currencyDisplay: ["symbol"],
  };

  function write(number, locales, options) {
    english("toLocaleString", locales);
    const given = read("toLocaleString", options, numbers);
    const [percent, money] = [given.style === "percent", given.style === "currency"];
    if (money && given.currency === undefined) throw new TypeError("toLocaleString: style currency needs a currency");
    const currency = `${given.currency}`.toUpperCase();
    const usual = money && currency !== "JPY" ? 2 : 0;
    let least = given.minimumFractionDigits ?? usual;
    const most = given.maximumFractionDigits ?? Math.max(least, money ? usual : percent ? 0 : 3);
    if (given.minimumFractionDigits === undefined) least = Math.min(least, most);
    if (!(least >= 0 && least <= most && most <= 100)) throw new RangeError("toLocaleString: the fraction digits are out of range");
    let text;
    if (typeof number === "bigint") text = `${number < 0n ? -number : number}${least > 0 ? `.${"0".repeat(least)}` : ""}`;
    else if (number !== number) text = "NaN";
    else if (Math.abs(number) === Infinity) text = "∞";
    else {
      const size = Math.abs(percent ? number * 100 : number);
      text = size < 1e21 ? size.toFixed(most) : `${BigInt(size)}`;
      if (text.includes(".")) {
        let end = text.length;
        while (text[end - 1] === "0" && text.length - end < most - least) end--;
        text = text.slice(0, end).replace(/\.$/, "");
      }
    }
    const [whole, part] = text.split(".");
    const shown = `${`${given.useGrouping}` === "false" ? whole : group(whole)}${part === undefined ? "" : `.${part}`}`;
    const minus = number < 0 || Object.is(number, -0) ? "-" : "";
    return `${minus}${money ? (signs[currency] ?? `${currency}\u00a0`) : ""}${shown}${percent ? "%" : ""}`;
  }
  define(Number.prototype, "toLocaleString", function toLocaleString(locales, options) {
    return write(Number(this), locales, options);
  });
  define(BigInt.prototype, "toLocaleString", function toLocaleString(locales, options) {
    return write(BigInt(this), locales, options);
  });

  // --- dates

  const months = "January February March April May June July August September October November December".split(" ");
  const weekdays = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");
  const two = ["numeric", "2-digit"];
  const styles = ["full", "long", "medium", "short"];
  const dates = {
    __proto__: null, year: two, month: [...two, "short", "long"], day: two, weekday: ["short", "long"], hour: two, minute: two,
    second: two, hour12: true, timeZone: ["UTC", "GMT", "Etc/UTC"], timeZoneName: ["short"], dateStyle: styles, timeStyle: styles,
  };
  const pad = (number, how) => (how === "2-digit" ? `${number % 100}`.padStart(2, "0") : `${number}`);
  const name = (names, index, how) => (how === "short" ? names[index].slice(0, 3) : names[index]);

  function dateText(date, { year, month, day, weekday }) {
    const y = year && pad(date.getUTCFullYear(), year);
    const d = day && pad(date.getUTCDate(), day);
    const w = weekday && name(weekdays, date.getUTCDay(), weekday);
    const some = (parts, between) => parts.filter((part) => part !== undefined).join(between);
    if (month !== "short" && month !== "long") {
      return some([w, some([month && pad(date.getUTCMonth() + 1, month), d, y], "/") || undefined], ", ");
    }
    const m = some([name(months, date.getUTCMonth(), month), d], " ");
    return some([w, some([m, y], d === undefined ? " " : ", ")], ", ");
  }

  function timeText(date, { hour, minute, second, hour12, timeZoneName }) {
    const h = date.getUTCHours();
    const half = hour12 !== false;
    const parts = [];
    if (hour) parts.push(half ? pad(h % 12 || 12, hour) : pad(h, "2-digit"));
    if (minute) parts.push(pad(date.getUTCMinutes(), hour || second ? "2-digit" : minute));
    if (second) parts.push(pad(date.getUTCSeconds(), minute ? "2-digit" : second));
    return `${parts.join(":")}${hour && half ? (h < 12 ? " AM" : " PM") : ""}${timeZoneName ? " UTC" : ""}`;
  }

  function dateLike(what, date, locales, options, usual) {
    if (!Number.isFinite(date.getTime())) return "Invalid Date";
    const iso = date.toISOString();
    const asked = language(locales);
    // These are asked for only because they write dates so.
    if (what === "toLocaleDateString" && options === undefined && /^(sv-SE|en-CA)$/.test(asked)) return iso.slice(0, 10);
    english(what, locales);
    let given = read(what, options, dates);
    const { dateStyle, timeStyle, timeZone, hour12, ...fields } = given;
    if (dateStyle !== undefined || timeStyle !== undefined) {
      const month = dateStyle === "short" ? "numeric" : dateStyle === "medium" ? "short" : "long";
      const year = dateStyle === "short" ? "2-digit" : "numeric";
      const day = dateStyle && { year, month, day: "numeric", ...(dateStyle === "full" && { weekday: "long" }) };
      const exact = timeStyle !== "short" && { second: "numeric" };
      const zone = (timeStyle === "full" || timeStyle === "long") && { timeZoneName: "short" };
      given = { ...day, ...(timeStyle && { hour: "numeric", minute: "numeric", ...exact, ...zone }), hour12 };
    } else if (!Object.keys(fields).some((key) => (usual.year && /year|month|day/.test(key)) || (usual.hour && /hour|minute|second/.test(key)))) {
      given = { ...usual, ...given };
    }
    const day = given.year || given.month || given.day || given.weekday ? dateText(date, given) : "";
    const time = given.hour || given.minute || given.second ? timeText(date, given) : "";
    return `${day}${day && time ? (given.month === "long" ? " at " : ", ") : ""}${time}`;
  }

  const day = { year: "numeric", month: "numeric", day: "numeric" };
  const time = { hour: "numeric", minute: "numeric", second: "numeric" };
  for (const [what, usual] of [["toLocaleDateString", day], ["toLocaleTimeString", time], ["toLocaleString", { ...day, ...time }]]) {
    define(Date.prototype, what, { [what](locales, options) { return dateLike(what, this, locales, options, usual); } }[what]);
  }
})
