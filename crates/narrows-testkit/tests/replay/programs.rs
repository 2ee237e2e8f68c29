//! Random programs: what one does, and its text in either language.
//!
//! A program's value and its calls depend on no order that is not yet written down, except for who
//! wins a race; that is only logged.

use narrows_types::Language;
use proptest::prelude::*;
use std::fmt::Write as _;

/// One thing that a program does. Where a language has no such thing, it makes a call.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A call whose answer is needed for the next; `k` makes few different arguments.
    Call(u8),
    /// A call that may not be made twice.
    Once(u8),
    /// A call whose result has a secret, which the journal does not keep.
    Vault(u8),
    /// A call that fails, and the failure is caught.
    Fail(u8),
    /// A call that is made now and awaited at the end of the block.
    Later(u8),
    /// Two calls, of which the first to be answered counts.
    Race(u8),
    /// A call, or so many milliseconds.
    Deadline(u8),
    /// A timer beside everything else of the block.
    Timer(u8),
    /// Looks at the clock and at randomness.
    Time,
    /// Writes after what is in a file, and looks at all of it: what others wrote meanwhile too.
    File(u8),
    /// Gives a file away.
    Keep(u8),
    /// A question to a person.
    Ask,
    /// The same again and again.
    Loop(u8, Vec<Step>),
    /// Branches side by side.
    Together(Vec<Vec<Step>>),
}

/// A program.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) language: Language,
    pub(crate) steps: Vec<Step>,
    /// Ends with an error.
    pub(crate) throws: bool,
}

pub(crate) fn stories() -> impl Strategy<Value = Story> {
    let languages = prop_oneof![Just(Language::TypeScript), Just(Language::Python)];
    let block = prop::collection::vec(steps(), 1..6);
    (languages, block, prop::bool::weighted(0.2)).prop_map(|(language, steps, throws)| Story {
        language,
        steps,
        throws,
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let leaf = prop_oneof![
        4 => (0..3_u8).prop_map(Step::Call),
        1 => (0..3_u8).prop_map(Step::Once),
        1 => (0..3_u8).prop_map(Step::Vault),
        1 => (0..3_u8).prop_map(Step::Fail),
        2 => (0..3_u8).prop_map(Step::Later),
        1 => (0..3_u8).prop_map(Step::Race),
        1 => (0..6_u8).prop_map(Step::Deadline),
        1 => (0..6_u8).prop_map(Step::Timer),
        1 => Just(Step::Time),
        1 => (0..3_u8).prop_map(Step::File),
        1 => (0..3_u8).prop_map(Step::Keep),
        1 => Just(Step::Ask),
    ];
    leaf.prop_recursive(2, 10, 3, |step| {
        let block = prop::collection::vec(step, 1..4);
        prop_oneof![
            1 => (1..4_u8, block.clone()).prop_map(|(n, block)| Step::Loop(n, block)),
            2 => prop::collection::vec(block, 2..4).prop_map(Step::Together),
        ]
    })
}

impl Story {
    /// Whether it makes calls whose answers it may not hear.
    pub(crate) fn races(&self) -> bool {
        fn any(steps: &[Step]) -> bool {
            steps.iter().any(|step| match step {
                Step::Race(_) | Step::Deadline(_) => true,
                Step::Loop(_, block) => any(block),
                Step::Together(blocks) => blocks.iter().any(|block| any(block)),
                _ => false,
            })
        }
        self.language == Language::TypeScript && any(&self.steps)
    }

    pub(crate) fn text(&self) -> String {
        let mut writer = Writer { text: String::new(), indent: 0, steps: 0 };
        match self.language {
            Language::TypeScript => writer.typescript(self),
            Language::Python => writer.python(self),
        }
        writer.text
    }
}

struct Writer {
    text: String,
    indent: usize,
    steps: usize,
}

const TYPESCRIPT: &str = r#"const out = { sum: 0 };
const got = (label, r) => { out.sum += r.v; console.log("got", label, r.v, r.t); return r.v };
const hid = (label, r) => { out.sum += r.v; console.log("hid", label, r.v); return r.v };
const first = [Date.now(), Math.random()];
const p0 = ""; let x = 1;"#;

const PYTHON: &str = r#"import asyncio
from datetime import datetime
out = {"sum": 0}
def got(label, r):
    out["sum"] += r["v"]
    print("got", label, r["v"], r["t"])
    return r["v"]
def hid(label, r):
    out["sum"] += r["v"]
    print("hid", label, r["v"])
    return r["v"]
first = str(datetime.now())
p0 = ""
x = 1"#;

impl Writer {
    fn line(&mut self, line: &str) {
        for line in line.lines() {
            writeln!(self.text, "{:indent$}{line}", "", indent = self.indent * 4).unwrap();
        }
    }

    /// A step's number and the expression of its label; `depth` is how many paths lead here.
    fn label(&mut self, depth: usize) -> (usize, String) {
        self.steps += 1;
        (self.steps, format!("\"s{}\" + p{depth}", self.steps))
    }

    fn typescript(&mut self, story: &Story) {
        self.line(TYPESCRIPT);
        self.ts_block(&story.steps, 0);
        self.line(if story.throws {
            "throw new Error(`sum ${out.sum} ${x}`)"
        } else {
            "return { sum: out.sum, x, first }"
        });
    }

    fn ts_block(&mut self, steps: &[Step], depth: usize) {
        self.line("const later = [];");
        for step in steps {
            self.ts_step(step, depth);
        }
        self.line("await Promise.all(later);");
    }

    fn ts_step(&mut self, step: &Step, depth: usize) {
        let (n, label) = self.label(depth);
        let line = match step {
            Step::Call(k) => {
                format!("x = (x * 3 + got({label}, await host.echo({{ k: (x + {k}) % 3 }}))) % 97;")
            }
            Step::Once(k) => {
                format!("x = (x * 3 + got({label}, await host.once({{ k: (x + {k}) % 3 }}))) % 97;")
            }
            Step::Vault(k) => {
                format!("x = (x + hid({label}, await host.vault({{ k: {k} }}))) % 97;")
            }
            Step::Fail(k) => format!(
                "try {{ await host.fail({{ k: {k} }}) }} catch (e) {{ console.log(\"failed\", {label}, e.message) }}"
            ),
            Step::Later(k) => {
                format!("later.push((async l => got(l, await host.echo({{ k: {k} }})))({label}));")
            }
            Step::Race(k) => format!(
                "{{ const [w, r] = await Promise.race([host.echo({{ k: {k} }}).then(r => [\"a\", r]), \
                 host.echo({{ k: {k} + 10 }}).then(r => [\"b\", r])]); console.log(\"won\", {label}, w, r.t) }}"
            ),
            Step::Deadline(ms) => format!(
                "{{ const [w, t] = await Promise.race([host.echo({{ k: 20 }}).then(r => [\"call\", r.t]), \
                 new Promise(r => setTimeout(r, {ms}, [\"timer\", 0]))]); console.log(\"won\", {label}, w, t) }}"
            ),
            Step::Timer(ms) => format!(
                "later.push((l => new Promise(r => setTimeout(r, {ms})).then(() => console.log(\"tick\", l)))({label}));"
            ),
            Step::Time => format!("console.log(\"time\", {label}, Date.now(), Math.random());"),
            Step::File(k) => format!(
                "scratch.append(\"f{k}\", {label} + \"=\" + x + \";\"); console.log(\"file\", {label}, scratch.read(\"f{k}\"), scratch.list());"
            ),
            Step::Keep(k) => {
                format!("scratch.write(\"k{k}\", \"{k}\"); await scratch.keep(\"k{k}\");")
            }
            Step::Ask => {
                format!("console.log(\"said\", {label}, await ask(\"what of \" + {label}));")
            }
            Step::Loop(times, block) => {
                let inner = depth + 1;
                self.line(&format!("for (let i{n} = 0; i{n} < {times}; i{n}++) {{"));
                self.indent += 1;
                self.line(&format!("const p{inner} = p{depth} + \".\" + i{n};"));
                self.ts_block(block, inner);
                self.indent -= 1;
                "}".to_owned()
            }
            Step::Together(blocks) => {
                self.line("{");
                self.line("const xs = await Promise.all([");
                for block in blocks {
                    self.line("(async x => {");
                    self.indent += 1;
                    self.ts_block(block, depth);
                    self.line("return x");
                    self.indent -= 1;
                    self.line("})(x),");
                }
                self.line("]);");
                "x = xs.reduce((a, b) => (a + b) % 97, x) }".to_owned()
            }
        };
        self.line(&line);
    }

    fn python(&mut self, story: &Story) {
        self.line(PYTHON);
        self.py_block(&story.steps, 0);
        self.line(if story.throws {
            "raise ValueError('sum ' + str(out['sum']) + ' ' + str(x))"
        } else {
            "return {'sum': out['sum'], 'x': x, 'first': first}"
        });
    }

    fn py_block(&mut self, steps: &[Step], depth: usize) {
        let mut later = String::new();
        for step in steps {
            self.py_step(step, depth, &mut later);
        }
        self.line(&later);
    }

    fn py_step(&mut self, step: &Step, depth: usize, later: &mut String) {
        let (n, label) = self.label(depth);
        let line = match step {
            Step::Call(k) | Step::Race(k) | Step::Deadline(k) => {
                format!("x = (x * 3 + got({label}, await host.echo(k=(x + {k}) % 3))) % 97")
            }
            Step::Once(k) => {
                format!("x = (x * 3 + got({label}, await host.once(k=(x + {k}) % 3))) % 97")
            }
            Step::Vault(k) => format!("x = (x + hid({label}, await host.vault(k={k}))) % 97"),
            Step::Fail(k) => format!(
                "try:\n    await host.fail(k={k})\nexcept ToolError as e:\n    print(\"failed\", {label}, e)"
            ),
            Step::Later(k) => {
                writeln!(later, "got({label}, await f{n})").unwrap();
                format!("f{n} = host.echo(k={k})")
            }
            Step::Time | Step::Timer(_) => format!("print(\"time\", {label}, datetime.now())"),
            Step::File(k) => format!(
                "scratch.append(\"f{k}\", {label} + \"=\" + str(x) + \";\")\nprint(\"file\", {label}, open(\"f{k}\").read(), scratch.list())"
            ),
            Step::Keep(k) => {
                format!("scratch.write(\"k{k}\", \"{k}\")\nawait scratch.keep(\"k{k}\")")
            }
            Step::Ask => format!("print(\"said\", {label}, await ask(\"what of \" + {label}))"),
            Step::Loop(times, block) => {
                let inner = depth + 1;
                self.line(&format!("for i{n} in range({times}):"));
                self.indent += 1;
                self.line(&format!("p{inner} = p{depth} + \".\" + str(i{n})"));
                self.py_block(block, inner);
                self.indent -= 1;
                String::new()
            }
            Step::Together(blocks) => {
                let mut branches = Vec::new();
                for (b, block) in blocks.iter().enumerate() {
                    self.line(&format!("async def b{n}_{b}(p{depth}, x):"));
                    self.indent += 1;
                    self.py_block(block, depth);
                    self.line("return x");
                    self.indent -= 1;
                    branches.push(format!("b{n}_{b}(p{depth}, x)"));
                }
                self.line(&format!("xs = await asyncio.gather({})", branches.join(", ")));
                "x = (x + sum(xs)) % 97".to_owned()
            }
        };
        self.line(&line);
    }
}
