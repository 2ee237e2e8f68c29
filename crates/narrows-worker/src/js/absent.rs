//! Names that programs expect of other places where JavaScript runs, and what to use here.

/// A name that does not exist here.
pub(super) struct Absent {
    name: &'static str,
    /// Members by which it is told from an upstream of the same name; none: whatever the member.
    members: &'static [&'static str],
    /// What to do instead.
    pub(super) instead: &'static str,
}

const NETWORK: &str = "no network here; call a tool";
const MODULES: &str = "no modules here; tools are globals";
const RETURN: &str = "end with return x, or with the value as the last expression";
const PAGE: &str = "no page here; return the value";
const INPUT: &str =
    "no environment here; pass values in with input; files are scratch.write(path, text)";
const STORE: &str = "use await session.set(key, value) and session.get(key)";
const BYTES: &str = "use Uint8Array, TextEncoder, TextDecoder, atob or btoa";
const PERSON: &str = "no page here; a person answers await ask(question)";
const THREADS: &str = "one thread here; Promise.all runs tool calls in parallel";

const fn any(name: &'static str, instead: &'static str) -> Absent {
    Absent { name, members: &[], instead }
}

const fn of(name: &'static str, members: &'static [&'static str], instead: &'static str) -> Absent {
    Absent { name, members, instead }
}

const ABSENT: &[Absent] = &[
    of("fetch", &["then", "call", "apply", "bind"], NETWORK),
    any("XMLHttpRequest", NETWORK),
    any("WebSocket", NETWORK),
    any("EventSource", NETWORK),
    any("Request", NETWORK),
    any("Response", NETWORK),
    any("Headers", NETWORK),
    any("FormData", NETWORK),
    any("require", MODULES),
    any("exports", RETURN),
    any("module", RETURN),
    any("__dirname", INPUT),
    any("__filename", INPUT),
    any("Deno", INPUT),
    any("Bun", INPUT),
    of(
        "process",
        &[
            "argv",
            "cwd",
            "env",
            "exit",
            "hrtime",
            "memoryUsage",
            "nextTick",
            "on",
            "pid",
            "platform",
            "stderr",
            "stdin",
            "stdout",
            "uptime",
            "version",
            "versions",
        ],
        INPUT,
    ),
    any("Buffer", BYTES),
    any("Blob", BYTES),
    any("File", BYTES),
    any("FileReader", BYTES),
    of("window", &[], PAGE),
    of(
        "document",
        &[
            "body",
            "cookie",
            "createElement",
            "getElementById",
            "head",
            "querySelector",
            "querySelectorAll",
            "title",
            "write",
        ],
        PAGE,
    ),
    of("location", &["hash", "host", "hostname", "href", "pathname", "search"], PAGE),
    any("localStorage", STORE),
    any("sessionStorage", STORE),
    any("indexedDB", STORE),
    any("alert", PERSON),
    any("confirm", PERSON),
    any("prompt", PERSON),
    any("print", "use console.log"),
    any("Intl", "use x.toLocaleString(), a.localeCompare(b) or code of your own"),
    any("requestAnimationFrame", "use setTimeout(f, 0)"),
    any("WeakRef", "keep the value itself"),
    any("FinalizationRegistry", "nothing is to be freed here"),
    any("Worker", THREADS),
    any("WebAssembly", "run plain JavaScript"),
    any("AbortController", "calls have deadlines of their own"),
    any("AbortSignal", "calls have deadlines of their own"),
];

/// Finds out whether a free name with these members means something that is absent.
pub(super) fn absent(name: &str, path: &[String]) -> Option<&'static Absent> {
    ABSENT.iter().find(|absent| {
        absent.name == name
            && (absent.members.is_empty()
                || path.first().is_none_or(|member| absent.members.contains(&member.as_str())))
    })
}

#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ABSENT.iter().map(|absent| absent.name)
}
