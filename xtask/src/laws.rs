//! The laws themselves, as tables.

/// Which rooms a room may import: the table of ARCHITECTURE.md.
pub(crate) const IMPORTS: &[(&str, &[&str])] = &[
    ("narrows-types", &[]),
    ("narrows-protocol", &["narrows-types"]),
    ("narrows-catalog", &["narrows-types"]),
    ("narrows-worker", &["narrows-types"]),
    ("narrows-upstream", &["narrows-types", "narrows-protocol"]),
    ("narrows-sandbox", &["narrows-types"]),
    ("narrows-store", &["narrows-types"]),
    (
        "narrows-engine",
        &[
            "narrows-types",
            "narrows-catalog",
            "narrows-upstream",
            "narrows-sandbox",
            "narrows-store",
        ],
    ),
    ("narrows-downstream", &["narrows-types", "narrows-protocol", "narrows-engine"]),
    ("narrows", ANY),
    ("narrows-testkit", ANY),
    ("xtask", &[]),
];

/// A room that may import every other.
pub(crate) const ANY: &[&str] = &["*"];

/// Foreign worlds, each confined to the rooms named.
pub(crate) const CONFINED: &[(&str, &[&str])] = &[
    ("rmcp", &["narrows-upstream", "narrows-testkit"]),
    ("sqlx", &["narrows-store"]),
    ("redis", &["narrows-store"]),
    ("lapin", &["narrows-store"]),
    ("async-nats", &["narrows-store"]),
    ("bollard", &["narrows-sandbox"]),
    ("rquickjs", &["narrows-worker"]),
    ("monty", &["narrows-worker"]),
    ("wasmtime", &["narrows-worker"]),
    ("reqwest", &["narrows-upstream", "narrows-testkit"]),
    ("axum", &["narrows-downstream", "narrows", "narrows-testkit"]),
];

/// Rooms without IO and without waiting.
pub(crate) const PURE: &[&str] = &["narrows-types", "narrows-protocol", "narrows-catalog"];

/// What no pure room may depend on.
pub(crate) const IMPURE: &[&str] =
    &["tokio", "tokio-util", "reqwest", "axum", "hyper", "sqlx", "redis"];

/// Words that are no name for a crate or a module: they attract everything.
pub(crate) const BANNED: &[&str] = &[
    "core", "common", "util", "utils", "helper", "helpers", "manager", "handler", "service", "misc",
];

/// The most lines of one source file.
pub(crate) const LINES_MAX: usize = 500;

/// Licences that a dependency may have; any one of the alternatives that it offers is enough.
pub(crate) const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "0BSD",
    "CC0-1.0",
    "MPL-2.0",
    "Unicode-DFS-2016",
    "BSL-1.0",
    "Unlicense",
    "MIT-0",
    "CDLA-Permissive-2.0",
    "Apache-2.0 WITH LLVM-exception",
];

/// Dependencies whose licence field is missing or unusual, with what they are.
pub(crate) const LICENCE_EXCEPTIONS: &[(&str, &str)] = &[];

/// Hosts that never stand in a committed file: packages are named, their registries are not.
pub(crate) const HOSTS: &[&str] = &[
    concat!("registry.", "npmjs.org"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("files.", "pythonhosted.org"),
    concat!("pypi.", "org/simple"),
    concat!("deb.", "debian.org"),
];
