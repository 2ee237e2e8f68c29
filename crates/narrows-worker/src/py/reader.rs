//! Walks a program with its scopes in hand: which names are free, which calls go to tools, and
//! whether each of those is wanted as a future or as a result.

use narrows_types::uses::REFERENCES_MAX;
use narrows_types::{Argument, Finding, Position, Reference};
use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{ExceptHandler, Expr, ExprCall, ExprName, Stmt};
use ruff_text_size::{Ranged, TextRange, TextSize};
use std::collections::{BTreeSet, HashSet};

use super::flow::{self, Flow};
use super::gaps;
use super::literal;
use super::path::{Step, path_of};
use super::probe::Probe;
use super::scope::Scopes;
use super::source::{Edit, Lines, MARK, Site};
use super::uses::{Known, PRELUDE};

/// A function around a place.
pub(super) struct Around<'a> {
    pub(super) name: &'a str,
    pub(super) asynchronous: bool,
    pub(super) lambda: bool,
    /// How many `try` bodies of it are around the place.
    pub(super) tries: isize,
}

/// A tool may be called in a function that is handed to a builtin, and Monty cannot wait there.
struct Callback<'a> {
    function: &'a str,
    to: &'a str,
    at: Position,
}

/// Reads one program.
pub(super) struct Reader<'a> {
    body: &'a [Stmt],
    pub(super) lines: &'a Lines<'a>,
    pub(super) probe: &'a Probe,
    known: &'a Known,
    pub(super) flow: Flow<'a>,
    pub(super) scopes: Scopes<'a>,
    pub(super) functions: Vec<Around<'a>>,
    /// How many enclosing `try` statements catch a name that is unknown.
    pub(super) guarded: usize,
    /// The expression that is read next is wanted as a future.
    pub(super) future: bool,
    /// The name that the lambda read next is bound to.
    pub(super) bound: &'a str,
    /// Functions that call tools.
    callers: HashSet<&'a str>,
    callbacks: Vec<Callback<'a>>,
    /// Methods that Monty has not, should they be methods and not tools.
    methods: Vec<Finding>,
    /// A namespace is used as a value, so that anything may be a tool.
    bare: bool,
    /// Modules that the program forgot to import.
    imports: BTreeSet<&'static str>,
    /// Functions that stand in front of the program, for what Monty lacks.
    pub(super) helpers: BTreeSet<&'static str>,
    /// The program names `ToolError`.
    tool_error: bool,
    pub(super) references: Vec<Reference>,
    pub(super) findings: Vec<Finding>,
    pub(super) edits: Vec<Edit>,
    pub(super) sites: Vec<Site>,
}

/// The name of a lambda that is bound to none.
pub(super) const LAMBDA: &str = "lambda";

impl<'a> Reader<'a> {
    pub(super) fn new(
        body: &'a [Stmt],
        lines: &'a Lines<'a>,
        (probe, known): (&'a Probe, &'a Known),
    ) -> Self {
        Self {
            body,
            lines,
            probe,
            known,
            flow: Flow::of(body),
            scopes: Scopes::of_module(body, &known.names),
            functions: Vec::new(),
            guarded: 0,
            future: false,
            bound: LAMBDA,
            callers: HashSet::new(),
            callbacks: Vec::new(),
            methods: Vec::new(),
            bare: false,
            imports: BTreeSet::new(),
            helpers: BTreeSet::new(),
            tool_error: false,
            references: Vec::new(),
            findings: Vec::new(),
            edits: Vec::new(),
            sites: Vec::new(),
        }
    }

    /// Reads all of it.
    pub(super) fn read(&mut self) {
        self.visit_body(self.body);
        self.tail(self.body, true);
        if !self.bare {
            self.findings.append(&mut self.methods);
        }
        for callback in std::mem::take(&mut self.callbacks) {
            if self.callers.contains(callback.function) {
                self.not_inside(callback.at, callback.to);
            }
        }
    }

    /// The value of a program is that of its last expression, also where that stands in the last
    /// statement's branches: Monty knows only the outermost level.
    fn tail(&mut self, body: &'a [Stmt], outermost: bool) {
        match body.last() {
            Some(Stmt::Expr(last)) => {
                if !outermost || self.probe.is_complete() {
                    let range = TextRange::empty(last.start());
                    self.edits.push(Edit { range, text: "return ".to_owned() });
                }
                self.listed(&last.value);
            }
            Some(Stmt::If(choice)) => {
                self.tail(&choice.body, false);
                for clause in &choice.elif_else_clauses {
                    self.tail(&clause.body, false);
                }
            }
            Some(Stmt::With(with)) => self.tail(&with.body, false),
            Some(Stmt::Match(choice)) => {
                choice.cases.iter().for_each(|case| self.tail(&case.body, false));
            }
            Some(Stmt::Try(attempt)) => {
                let last = if attempt.orelse.is_empty() { &attempt.body } else { &attempt.orelse };
                self.tail(last, false);
                for ExceptHandler::ExceptHandler(handler) in &attempt.handlers {
                    self.tail(&handler.body, false);
                }
            }
            _ => {}
        }
    }

    /// The names that are bound at the outermost level, in order.
    pub(super) fn outermost_names(&self) -> Vec<String> {
        let names: BTreeSet<&str> =
            self.scopes.outermost().chain(self.imports.iter().copied()).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    fn not_inside(&mut self, at: Position, to: &str) {
        let message = format!(
            "a tool cannot be called in a function given to {to}; call tools in a loop or a \
             comprehension first"
        );
        self.finding(at, message);
    }

    /// The lines that stand in front of the program. Monty has no exception types but its own,
    /// so a tool's error is one of them.
    pub(super) fn before(&self) -> String {
        let imports: Vec<&str> = self.imports.iter().copied().collect();
        let imports =
            if imports.is_empty() { None } else { Some(format!("import {}", imports.join(", "))) };
        let error = (self.tool_error && !self.probe.is_complete())
            .then(|| "ToolError = RuntimeError".to_owned());
        let helpers = self.helpers.iter().map(|helper| (*helper).to_owned());
        imports.into_iter().chain(error).chain(helpers).collect::<Vec<_>>().join("\n")
    }

    fn finding(&mut self, at: Position, message: String) {
        self.findings.push(Finding { at, message });
    }

    /// Reads an expression that is wanted as a future, or as a value.
    pub(super) fn want(&mut self, future: bool, expr: &'a Expr) {
        self.future = future;
        self.visit_expr(expr);
        self.future = false;
    }

    fn arguments(&mut self, future: bool, call: &'a ExprCall) {
        for argument in &call.arguments.args {
            self.want(future, argument);
        }
        for keyword in &call.arguments.keywords {
            self.want(future, &keyword.value);
        }
    }

    /// A name that the program reads and that stands alone (no path that a tool could be on).
    fn name(&mut self, name: &ExprName, alone: bool) -> Named {
        let id = name.id.as_str();
        if self.scopes.defines(id) {
            return Named::Own;
        }
        if PRELUDE.contains(&id) {
            self.tool_error |= id == "ToolError";
            return Named::Prelude;
        }
        if let Some(module) = gaps::IMPORTED.iter().find(|module| **module == id) {
            self.imports.insert(module);
            return Named::Own;
        }
        if self.probe.builtin(id) {
            return Named::Own;
        }
        match gaps::builtin(id).filter(|_| alone) {
            Some(instead) if self.guarded == 0 => {
                let message = format!("{id} is not supported here; {instead}");
                self.finding(self.lines.at(name.start()), message);
                Named::Own
            }
            Some(_) => Named::Own,
            None => Named::Free,
        }
    }

    /// Reads the path `root.a["b"]`, called or not. `None` if it is no path from a free name.
    pub(super) fn path(
        &mut self,
        expr: &'a Expr,
        called: Option<&'a ExprCall>,
        future: bool,
    ) -> Option<()> {
        let (root, steps, computed) = path_of(expr, self.lines)?;
        let tools = match self.name(root, steps.is_empty() && computed.is_none()) {
            Named::Free => false,
            Named::Prelude if root.id.as_str() == "tools" => true,
            Named::Prelude => {
                self.prelude_call(root, &steps, called, future);
                return None;
            }
            Named::Own => return None,
        };
        let computed = computed.is_some();
        if computed {
            self.by_getattr(expr);
        }
        let mut names: Vec<String> = steps.iter().map(|step| step.name.clone()).collect();
        // A function by a name of its own, unless there is a server of that name.
        let ask = !tools && !computed && names.is_empty() && root.id.as_str() == "ask";
        self.bare |= names.len() <= usize::from(tools) && !ask;
        let root_name = match tools {
            true if names.is_empty() => return Some(()),
            true => names.remove(0),
            false => root.id.to_string(),
        };
        let is_call = called.is_some() && !computed && (ask || !names.is_empty());
        if is_call {
            self.callers.extend(self.functions.iter().map(|function| function.name));
        }
        let wait = is_call && !(future && self.flow.asynchronous());
        if ask && wait {
            self.rename_root(root);
        } else if !computed {
            self.rename(&steps, wait);
        }
        if self.references.len() < REFERENCES_MAX {
            let arguments: Option<Vec<Argument>> = called
                .filter(|_| !computed)
                .map(|call| literal::arguments(&call.arguments, self.lines));
            let at = self.lines.at(root.start());
            let guarded = self.guarded > 0;
            self.references.push(Reference {
                root: root_name,
                path: names,
                at,
                arguments,
                guarded,
            });
        }
        Some(())
    }

    /// Monty has no brackets for a namespace: `tools[a]["b"]` becomes `getattr(getattr(tools, a), "b")`.
    fn by_getattr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Attribute(attribute) => self.by_getattr(&attribute.value),
            Expr::Subscript(subscript) => {
                let (value, name) = (subscript.value.as_ref(), subscript.slice.as_ref());
                self.by_getattr(value);
                let open = TextRange::new(value.end(), name.start());
                let close = TextRange::new(name.end(), subscript.end());
                let plain =
                    self.lines.text(open).trim() == "[" && self.lines.text(close).trim() == "]";
                if !plain || [open, close].iter().any(|r| self.lines.text(*r).contains('\n')) {
                    let at = self.lines.at(name.start());
                    self.finding(at, "write the name in brackets on one line".to_owned());
                }
                let start = TextRange::empty(value.start());
                for (range, text) in [(start, "getattr("), (open, ", "), (close, ")")] {
                    self.edits.push(Edit { range, text: text.to_owned() });
                }
                self.want(false, name);
            }
            _ => {}
        }
    }

    /// Renames the steps that Monty could not take, and the last one where the call has to wait.
    fn rename(&mut self, steps: &[Step], wait: bool) {
        let last = steps.len().saturating_sub(1);
        for (index, step) in steps.iter().enumerate() {
            let wait = wait && index == last;
            if !(wait || step.index || step.name.starts_with('_')) {
                continue;
            }
            if self.lines.text(step.range).contains('\n') {
                let at = self.lines.at(step.range.start());
                self.finding(at, "write the name in brackets on one line".to_owned());
                continue;
            }
            let text = self.site(step.name.clone(), wait);
            let text = if step.index { format!(".{text}") } else { text };
            self.edits.push(Edit { range: step.range, text });
        }
    }

    /// Renames a function of ours whose call has to wait.
    fn rename_root(&mut self, root: &ExprName) {
        let text = self.site(root.id.to_string(), true);
        self.edits.push(Edit { range: root.range, text });
    }

    fn site(&mut self, name: String, wait: bool) -> String {
        let text = format!("{MARK}{}", self.known.sites + self.sites.len());
        self.sites.push(Site { name, wait });
        text
    }

    fn prelude_call(
        &mut self,
        root: &ExprName,
        steps: &[Step],
        called: Option<&ExprCall>,
        future: bool,
    ) {
        let name = root.id.as_str();
        if called.is_none() || !steps.is_empty() {
            return;
        }
        match name {
            "search" | "artifact" if !(future && self.flow.asynchronous()) => {
                self.rename_root(root);
            }
            "input" | "tools" => {
                let at = self.lines.at(root.start());
                self.finding(at, format!("{name} is a value, not a function: write {name}[...]"));
            }
            _ => {}
        }
    }

    pub(super) fn call(&mut self, call: &'a ExprCall, future: bool) {
        if self.path(&call.func, Some(call), future).is_some() {
            self.arguments(false, call);
            return;
        }
        let given = match call.func.as_ref() {
            func if flow::is_asyncio(func) => true,
            Expr::Name(name) if flow::hands_on(name.id.as_str()) => future,
            Expr::Name(name) => self.flow.takes_futures(name.id.as_str()),
            func => flow::container(func).is_some_and(|name| self.flow.awaits(&[name])),
        };
        if let Expr::Attribute(attribute) = call.func.as_ref()
            && !self.probe.is_complete()
            && let Some(instead) = gaps::method(attribute.attr.as_str())
            && !self.flow.defines(attribute.attr.as_str())
        {
            let at = self.lines.at(attribute.attr.start());
            let message = format!(".{}() is not supported here; {instead}", attribute.attr);
            self.methods.push(Finding { at, message });
        }
        if !self.probe.is_complete() {
            self.callbacks(call);
            self.idiom(call);
        }
        // The name of a prelude function was read by `path`; reading it again changes nothing.
        self.want(false, &call.func);
        self.arguments(given, call);
    }

    /// Notes the functions that are handed to a builtin which calls them back.
    fn callbacks(&mut self, call: &'a ExprCall) {
        let to = match call.func.as_ref() {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(attribute) => attribute.attr.as_str(),
            _ => return,
        };
        let calls_back = ["map", "filter", "sorted", "min", "max", "reduce", "sort", "sub"];
        if !calls_back.contains(&to) {
            return;
        }
        let keywords = call.arguments.keywords.iter().map(|keyword| &keyword.value);
        for argument in call.arguments.args.iter().chain(keywords) {
            match argument {
                Expr::Name(name) => {
                    let at = self.lines.at(name.start());
                    self.callbacks.push(Callback { function: name.id.as_str(), to, at });
                }
                Expr::Lambda(lambda) if self.calls_tool(&lambda.body) => {
                    self.not_inside(self.lines.at(lambda.start()), to);
                }
                _ => {}
            }
        }
    }

    /// Whether the body of a lambda calls a tool itself, or a function that does is left to the
    /// run: Monty refuses it there.
    fn calls_tool(&self, body: &Expr) -> bool {
        let Expr::Call(call) = body else { return false };
        path_of(&call.func, self.lines).is_some_and(|(root, steps, _)| {
            let name = root.id.as_str();
            let own = self.scopes.defines(name) || self.probe.builtin(name);
            !own && !steps.is_empty() && !gaps::IMPORTED.contains(&name) && name != "input"
        })
    }

    /// Enters (1) or leaves (-1) the body of a `try`.
    pub(super) fn in_try(&mut self, by: isize) {
        if let Some(around) = self.functions.last_mut() {
            around.tries += by;
        }
    }

    /// Monty ends the whole `gather` that a coroutine runs in when a call fails that it awaits,
    /// whatever the coroutine catches. A `gather` of its own around the call fails alone, and that
    /// is caught.
    fn isolate(&mut self, value: &'a Expr, start: TextSize) {
        if self.probe.is_complete() {
            return;
        }
        let caught = self.functions.last().is_some_and(|f| f.asynchronous && f.tries > 0);
        let gathers = matches!(value, Expr::Call(call) if flow::is_asyncio(&call.func));
        if !caught || gathers {
            return;
        }
        self.imports.insert("asyncio");
        for (place, text) in
            [(start, "("), (value.start(), "asyncio.gather("), (value.end(), "))[0]")]
        {
            self.edits.push(Edit { range: TextRange::empty(place), text: text.to_owned() });
        }
    }

    pub(super) fn wait(&mut self, value: &'a Expr, start: TextSize) {
        let at = self.lines.at(start);
        self.isolate(value, start);
        if let Some(function) = self.functions.last().filter(|function| !function.asynchronous) {
            let message = if function.lambda {
                "await in a lambda; use an async def".to_owned()
            } else {
                format!("await in a plain function; write `async def {}`", function.name)
            };
            self.finding(at, message);
        }
        if let Expr::Call(call) = value
            && let Expr::Name(name) = call.func.as_ref()
            && matches!(name.id.as_str(), "progress" | "show" | "print")
            && !self.scopes.defines(name.id.as_str())
        {
            self.finding(at, format!("{} gives nothing to wait for: delete await", name.id));
        }
        self.want(true, value);
    }
}

/// What a name is.
enum Named {
    /// The program's, a builtin or a module.
    Own,
    /// One of [`PRELUDE`].
    Prelude,
    /// Nothing that is known here: a namespace, or a mistake.
    Free,
}
