//! Wrong configs, each with the words that its author reads.

use super::problems;

const TOML: &[(&str, &str)] = &[
    ("a misspelt key", "[servers.git]\ncomand = \"uvx\"\n"),
    ("a key that resembles nothing", "[servers.git]\ncommand = \"uvx\"\nzzz = 1\n"),
    ("a misspelt section", "[limit]\nwall_ms = 1\n"),
    ("a section that resembles nothing", "[wonderland]\nx = 1\n"),
    ("a list that is text", "[servers.git]\ncommand = \"uvx\"\nargs = \"mcp-server-git\"\n"),
    ("a wrong item of a list", "[servers.f]\nbuiltin = \"files\"\nfolders = [\"a\", 3]\n"),
    ("text that is a number", "[servers.git]\ncommand = 7\n"),
    (
        "a secret of a wrong type is not repeated",
        "[servers.git]\nurl = \"https://x.y/mcp\"\nheaders = \"Bearer sk-secret\"\n",
    ),
    ("nothing to start", "[servers.git]\nargs = [\"x\"]\n"),
    ("two ways at once", "[servers.git]\ncommand = \"x\"\nurl = \"https://x.y\"\n"),
    ("a key of another way", "[servers.git]\nurl = \"https://x.y\"\nargs = [\"x\"]\n"),
    ("headers for a program", "[servers.git]\ncommand = \"x\"\nheaders = {A = \"b\"}\n"),
    ("write for the clock", "[servers.t]\nbuiltin = \"time\"\nwrite = true\n"),
    ("files without folders", "[servers.f]\nbuiltin = \"files\"\n"),
    ("an unknown built-in", "[servers.f]\nbuiltin = \"filez\"\n"),
    ("a type that is no match", "[servers.f]\ntype = \"http\"\ncommand = \"x\"\n"),
    ("a url of another world", "[servers.f]\nurl = \"ftp://x.y\"\n"),
    ("a url without a scheme", "[servers.f]\nurl = \"x.y/mcp\"\n"),
    ("a url without a host", "[servers.f]\nurl = \"https:///mcp\"\n"),
    ("an empty command", "[servers.f]\ncommand = \" \"\n"),
    ("an impossible variable", "[servers.f]\ncommand = \"x\"\nenv = {\"A=B\" = \"c\"}\n"),
    ("our own name", "[servers.narrows]\ncommand = \"x\"\n"),
    ("a name of blanks", "[servers.\" x\"]\ncommand = \"x\"\n"),
    ("an unknown era", "[servers.f]\ncommand = \"x\"\nera = \"modren\"\n"),
    ("no calls at all", "[upstream]\nconcurrency = 0\n"),
    ("no time at all", "[servers.f]\ncommand = \"x\"\ncall_timeout_ms = 0\n"),
    ("a server that is no table", "servers = {git = \"uvx\"}\n"),
    ("servers that are a list", "servers = [\"git\"]\n"),
    ("a limit of nothing", "[limits]\nwall_ms = 0\n"),
    ("files of the machine's to write", "[limits]\nread_only = false\n"),
    ("a network", "[limits]\nnetwork = \"example.com\"\n"),
    ("a host that is a page", "[limits]\nnetwork = [\"https://example.com/x\"]\n"),
    ("a network that is a number", "[limits]\nnetwork = 5\n"),
    ("a network that nothing reaches", "[limits]\nnetwork = [\"example.com\"]\n"),
    (
        "a network without walls",
        "[limits]\nnetwork = [\"a.b\"]\n[sandbox]\nbackend = \"basic\"\noffer = [\"cpython\"]\n",
    ),
    (
        "a network of a key's",
        "[keys.a]\nkey = \"0123456789abcdef\"\nlimits = { network = \"any\" }\n",
    ),
    ("a run without a thread", "[limits]\nprocesses = 0\n"),
    ("a negative limit", "[limits]\nwall_ms = -5\n"),
    ("a limit that is text", "[limits]\nmemory_bytes = \"128 MB\"\n"),
    ("a limit that is a fraction", "[limits]\ncalls = 1.5\n"),
    ("a limit beyond 32 bits", "[limits]\ncalls = 5000000000\n"),
    ("a reply larger than allowed", "[limits]\noutput_bytes = 9\noutput_bytes_max = 8\n"),
    ("an address without a port", "[serve]\nhttp = \"localhost\"\n"),
    ("an unknown mode", "[serve]\nmode = \"cod\"\n"),
    ("an unknown wall", "[sandbox]\nrequire = [\"seccmp\"]\n"),
    ("auto for a key", "[keys.g]\nkey = \"s\"\nbackend = \"auto\"\n"),
    (
        "nothing, which is everything to Docker",
        "[sandbox.docker]\nmemory_bytes = 0\ncpus = 0\nprocesses = 0\ndisk_bytes = 0\n",
    ),
    ("a machine too small", "[sandbox.microvm]\nmemory_mib = 63\nboot_timeout_ms = 0\n"),
    ("a key's limit of nothing", "[keys.\"a b\"]\nkey = \"s\"\nlimits = {wall_ms = 0}\n"),
    ("a container smaller than a run", "[limits]\nmemory_bytes = 1073741824\n"),
    ("a group by its directory", "[sandbox]\ncgroup = \"/sys/fs/cgroup/narrows\"\n"),
    ("a group of nowhere", "[sandbox]\ncgroup = \"own\"\n"),
    ("all smaller than one", "[sandbox]\nworkers_memory_bytes = 134217728\n"),
    ("a deno that is nowhere", "[sandbox]\ntypescript = \"deno\"\n"),
    ("a deno that is offered and nowhere", "[sandbox]\noffer = [\"deno\"]\n"),
    (
        "the machine's Python in a container",
        "[sandbox]\nbackend = \"docker\"\npython = \"cpython\"\n",
    ),
    (
        "the same for a key",
        "[sandbox]\npython = \"cpython\"\n[keys.g]\nkey = \"s\"\nbackend = \"microvm\"\n",
    ),
    (
        "an engine that is offered where none runs it",
        "[sandbox]\nbackend = \"wasm\"\noffer = [\"cpython\"]\n",
    ),
    (
        "no walls beside an open door",
        "[serve]\nhttp = \"0.0.0.0:7300\"\n[sandbox]\nbackend = \"basic\"\n",
    ),
    (
        "a key without walls beside an open door",
        "[serve]\nhttp = \"[::]:7300\"\n[keys.g]\nkey = \"s\"\nbackend = \"basic\"\n",
    ),
    ("another store", "[store]\nurl = \"mysql://me:secret@h/db\"\n"),
    ("a store's password that is not encoded", "[store]\nurl = \"postgres://me:sec/ret@h/db\"\n"),
    ("an impossible prefix", "[store]\nurl = \"redis://:secret@h:6379?prefix=a b\"\n"),
    ("a store that is a number", "[store]\nurl = 5\n"),
    ("half a write", "[store]\nsynchronous = \"of\"\n"),
    ("no versions at all", "[store]\nintent_versions_max = 0\n"),
    ("a value larger than its session", "[store]\nvalue_bytes_max = 9\nsession_bytes_max = 8\n"),
    ("an unknown durability", "[runs]\ndurability = \"full\"\n"),
    ("no room for a journal", "[runs]\njournal_bytes_max = 100\n"),
    (
        "consent to something that is no call",
        "[runs]\napprove = [\"github.delete_*\", \"delete\"]\n",
    ),
    ("a call that is no text", "[runs]\nnever_repeat = [3]\n"),
    ("a session of no time", "[sessions]\nidle_s = 0\n"),
    ("a misspelt budget", "[sessions]\ntoken = 5\n"),
    ("a lease too short", "[jobs]\nlease_ms = 5\n"),
    (
        "every number of jobs",
        "[jobs]\nworkers = 10001\ntenant_parallel = 0\nattempts = 101\nwall_ms = 999\ndrain_ms = 600001\n",
    ),
    ("another broker", "[jobs]\nwakes = \"kafka://me:secret@h\"\n"),
    ("a filter that is none", "[log]\nlevel = \"narrows=loud\"\n"),
    ("an unknown log format", "[log]\nformat = \"xml\"\n"),
    (
        "a reference that is none, outside of servers",
        "[store]\nurl = \"sqlite:${DATA_DIR}/x.db\"\n",
    ),
    ("several at once", "[servers.a]\nx = 1\n[servers.b]\ny = 2\n[limits]\nz = 3\n"),
    ("no TOML", "[servers.git\ncommand = 1\n"),
    ("a key twice", "[log]\nlevel = \"info\"\nlevel = \"debug\"\n"),
];

const JSON: &[(&str, &str)] = &[
    ("a misspelt key", "{\n  \"servers\": {\n    \"git\": {\"comand\": \"uvx\"}\n  }\n}\n"),
    ("a comma that is missing", "{\n  \"log\": {}\n  \"serve\": {}\n}\n"),
    ("a string that is never closed", "{\n  \"log\": {\"level\": \"info}\n}\n"),
    ("a comment that is never closed", "{ /* \"log\": {} }\n"),
    ("words after the end", "{} x\n"),
    ("no object", "[1, 2]\n"),
    ("a key twice", "{\"log\": {},\n \"log\": {}}\n"),
    ("a bare word", "{\"log\": on}\n"),
    ("too deep", DEEP),
];

/// A hundred brackets.
const DEEP: &str = "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[";

const YAML: &[(&str, &str)] = &[
    ("a misspelt key", "servers:\n  git:\n    comand: uvx\n"),
    ("a wrong type", "limits:\n  wall_ms: soon\n"),
    ("no YAML", "servers:\n  git: [a\n"),
    ("a key twice", "log: {}\nlog: {}\n"),
];

fn told(name: &str, cases: &[(&str, &str)]) -> String {
    let case = |(what, text): &(&str, &str)| {
        let lines = problems(name, text, &[]);
        assert!(!lines.is_empty(), "{what}");
        format!("# {what}\n{}\n\n", lines.join("\n"))
    };
    cases.iter().map(case).collect()
}

#[test]
fn wrong_toml() {
    insta::assert_snapshot!(told("narrows.toml", TOML));
}

#[test]
fn wrong_json() {
    insta::assert_snapshot!(told("narrows.json", JSON));
}

#[test]
fn wrong_yaml() {
    insta::assert_snapshot!(told("narrows.yaml", YAML));
}

#[test]
fn wrong_variables() {
    let cases: [&[(&str, &str)]; 5] = [
        &[("NARROWS__LIMITS__WALL_MS", "soon")],
        &[("NARROWS__LIMITS__WALLMS", "5")],
        &[("NARROWS__LOG____LEVEL", "info")],
        &[("NARROWS__SERVE__MODE", "fast")],
        &[("NARROWS__SERVERS__GIT__ENABLED", "maybe")],
    ];
    let case = |vars: &&[(&str, &str)]| {
        let lines = problems("narrows.toml", "[servers.git]\ncommand = \"x\"\n", vars);
        format!("# {} = {}\n{}\n\n", vars[0].0, vars[0].1, lines.join("\n"))
    };
    insta::assert_snapshot!(cases.iter().map(case).collect::<String>());
}

#[test]
fn a_file_that_is_named_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let env = super::environment(dir.path(), &[("NARROWS_CONFIG", "nowhere.toml")]);
    let problems = crate::config::load(&env, &crate::config::Flags::default()).unwrap_err();
    assert_eq!(problems[0].to_string(), "there is no file nowhere.toml (named by NARROWS_CONFIG)");
}
