//! Reads a program: what it refers to, what is wrong with it, and the text that Monty runs.

use narrows_types::uses::REFERENCES_MAX;
use narrows_types::{Argument, Finding, Position, Reference, Uses};
use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Comprehension, Expr, ExprCall, ExprName, Stmt};
use ruff_python_parser::parse_module;
use ruff_text_size::{Ranged, TextRange};
use std::collections::BTreeSet;

use super::flow::{self, Flow};
use super::gaps;
use super::guard;
use super::literal;
use super::probe::Probe;
use super::scope::Scopes;
use super::source::{Edit, Lines, MARK, Rewritten, Site};

/// Findings beyond these say nothing more to anybody.
const FINDINGS_MAX: usize = 50;

/// Names that every program has.
pub(super) const PRELUDE: [&str; 7] =
    ["input", "tools", "ToolError", "search", "artifact", "progress", "show"];

/// A program that was read.
#[derive(Debug)]
pub(super) struct Reading {
    /// For the host's check.
    pub(super) uses: Uses,
    /// What Monty runs.
    pub(super) rewritten: Rewritten,
    /// What the renamed call sites are; a site's index is in its name.
    pub(super) sites: Vec<Site>,
}

/// Reads a program. With findings it must not run.
pub(super) fn read(code: &str) -> Reading {
    let lines = Lines::new(code);
    if let Some(finding) = guard::too_deep(code) {
        return Reading::refused(&lines, finding);
    }
    let module = match parse_module(code) {
        Ok(parsed) => parsed.into_syntax(),
        Err(error) => {
            let at = lines.at(error.location.start());
            let message = format!("syntax error: {}", error.error).to_lowercase();
            return Reading::refused(&lines, Finding { at, message });
        }
    };
    let probe = Probe::default();
    let mut findings = gaps::find(&module.body, &lines, &probe);
    let mut reader = Reader {
        lines: &lines,
        probe: &probe,
        flow: Flow::of(&module.body),
        scopes: Scopes::of_module(&module.body),
        functions: Vec::new(),
        guarded: 0,
        future: false,
        references: Vec::new(),
        findings: Vec::new(),
        edits: Vec::new(),
        sites: Vec::new(),
        imports: BTreeSet::new(),
    };
    reader.module(&module.body);
    let Reader { mut references, findings: more, edits, sites, imports, .. } = reader;
    findings.extend(more);
    findings.sort_by_key(|finding| finding.at);
    findings.truncate(FINDINGS_MAX);
    references.sort_by_key(|reference| reference.at);
    let before = match imports.is_empty() {
        true => String::new(),
        false => format!("import {}", imports.into_iter().collect::<Vec<_>>().join(", ")),
    };
    let rewritten = Rewritten::new(&lines, &before, edits);
    Reading { uses: Uses { references, findings }, rewritten, sites }
}

impl Reading {
    fn refused(lines: &Lines, finding: Finding) -> Self {
        let uses = Uses { references: Vec::new(), findings: vec![finding] };
        Self { uses, rewritten: Rewritten::new(lines, "", Vec::new()), sites: Vec::new() }
    }
}

/// One constant step of a path: `.name` or `["name"]`.
struct Step {
    name: String,
    /// What a renaming replaces.
    range: TextRange,
    /// It stands in brackets, which Monty has not for a namespace.
    index: bool,
}

/// A function around a place.
struct Around<'a> {
    name: &'a str,
    asynchronous: bool,
}

struct Reader<'a> {
    lines: &'a Lines<'a>,
    probe: &'a Probe,
    flow: Flow<'a>,
    scopes: Scopes<'a>,
    functions: Vec<Around<'a>>,
    /// How many enclosing `try` statements catch a name that is unknown.
    guarded: usize,
    /// The expression that is read next is wanted as a future.
    future: bool,
    references: Vec<Reference>,
    findings: Vec<Finding>,
    edits: Vec<Edit>,
    sites: Vec<Site>,
    imports: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    fn module(&mut self, body: &'a [Stmt]) {
        self.visit_body(body);
    }

    fn finding(&mut self, at: Position, message: String) {
        self.findings.push(Finding { at, message });
    }

    /// Reads an expression that is wanted as a future, or as a value.
    fn want(&mut self, future: bool, expr: &'a Expr) {
        self.future = future;
        self.visit_expr(expr);
        self.future = false;
    }

    fn arguments(&mut self, future: bool, call: &'a ExprCall) {
        call.arguments.args.iter().for_each(|argument| self.want(future, argument));
        call.arguments.keywords.iter().for_each(|keyword| self.want(future, &keyword.value));
    }

    /// A name that the program reads and that stands alone (no path that a tool could be on).
    fn name(&mut self, name: &ExprName, alone: bool) -> Named {
        let id = name.id.as_str();
        if self.scopes.defines(id) {
            return Named::Own;
        }
        if PRELUDE.contains(&id) {
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
    fn path(&mut self, expr: &'a Expr, called: Option<&'a ExprCall>, future: bool) -> Option<()> {
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
        if let Some(slice) = computed {
            let at = self.lines.at(slice.start());
            let message = "a namespace takes only a constant name in brackets; use \
                           getattr(namespace, name) for a computed one";
            self.finding(at, message.to_owned());
            self.want(false, slice);
        }
        let mut names: Vec<String> = steps.iter().map(|step| step.name.clone()).collect();
        let root_name = match tools {
            true if names.is_empty() => return Some(()),
            true => names.remove(0),
            false => root.id.to_string(),
        };
        let is_call = called.is_some() && computed.is_none() && !names.is_empty();
        let wait = is_call && !(future && self.flow.asynchronous());
        self.rename(&steps, wait);
        if self.references.len() < REFERENCES_MAX {
            let arguments: Option<Vec<Argument>> = called
                .filter(|_| computed.is_none())
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

    fn site(&mut self, name: String, wait: bool) -> String {
        let text = format!("{MARK}{}", self.sites.len());
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
                let text = self.site(name.to_owned(), true);
                self.edits.push(Edit { range: root.range, text });
            }
            "input" | "tools" => {
                let at = self.lines.at(root.start());
                self.finding(at, format!("{name} is a value, not a function: write {name}[...]"));
            }
            _ => {}
        }
    }

    fn call(&mut self, call: &'a ExprCall, future: bool) {
        if self.path(&call.func, Some(call), future).is_some() {
            self.arguments(false, call);
            return;
        }
        let given = match call.func.as_ref() {
            func if flow::is_asyncio(func) => true,
            Expr::Name(name) if flow::hands_on(name.id.as_str()) => future,
            Expr::Name(name) => self.flow.awaits(&[name.id.as_str()]) && self.takes_futures(call),
            func => flow::container(func).is_some_and(|name| self.flow.awaits(&[name])),
        };
        // The name of a prelude function was read by `path`; reading it again changes nothing.
        self.want(false, &call.func);
        self.arguments(given, call);
    }

    /// A function of the program's own that is given the result of a call, awaited or not, gets
    /// what it awaits.
    fn takes_futures(&self, call: &ExprCall) -> bool {
        call.arguments.args.iter().any(Expr::is_call_expr)
    }

    fn wait(&mut self, value: &'a Expr, at: Position) {
        if self.functions.last().is_some_and(|function| !function.asynchronous) {
            let name = self.functions.last().map_or("", |function| function.name);
            let message = match name {
                "lambda" => "await in a lambda; use an async def".to_owned(),
                name => format!("await in a plain function; write `async def {name}`"),
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

    fn comprehension(&mut self, generators: &'a [Comprehension], elements: &[&'a Expr]) {
        let future = self.future;
        for (index, generator) in generators.iter().enumerate() {
            let mut names = Vec::new();
            flow::bound(&generator.target, &mut names);
            let awaited = self.flow.awaits(&names);
            if index == 0 {
                self.want(awaited, &generator.iter);
                self.scopes.enter_targets(generators.iter().map(|each| &each.target));
            } else {
                self.want(awaited, &generator.iter);
            }
            generator.ifs.iter().for_each(|test| self.want(false, test));
        }
        elements.iter().for_each(|element| self.want(future, element));
        self.scopes.leave();
    }

    /// The branches of an expression whose value is one of several others', or holds them.
    fn several(&mut self, expr: &'a Expr, future: bool) -> bool {
        match expr {
            Expr::List(list) => list.elts.iter().for_each(|e| self.want(future, e)),
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|e| self.want(future, e)),
            Expr::Set(set) => set.elts.iter().for_each(|e| self.want(future, e)),
            Expr::Starred(starred) => self.want(future, &starred.value),
            Expr::BoolOp(operation) => operation.values.iter().for_each(|e| self.want(future, e)),
            Expr::BinOp(operation) => {
                self.want(future, &operation.left);
                self.want(future, &operation.right);
            }
            Expr::Dict(dict) => {
                for item in &dict.items {
                    if let Some(key) = &item.key {
                        self.want(false, key);
                    }
                    self.want(future, &item.value);
                }
            }
            Expr::If(choice) => {
                self.want(false, &choice.test);
                self.want(future, &choice.body);
                self.want(future, &choice.orelse);
            }
            _ => return false,
        }
        true
    }

    fn assign(&mut self, targets: &'a [Expr], value: &'a Expr) {
        let mut names = Vec::new();
        targets.iter().for_each(|target| flow::bound(target, &mut names));
        let future = self.flow.awaits(&names);
        self.want(future, value);
        targets.iter().for_each(|target| self.want(false, target));
    }

    fn function(&mut self, stmt: &'a Stmt) {
        let Stmt::FunctionDef(function) = stmt else { return };
        function.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
        self.visit_parameters(&function.parameters);
        self.scopes.enter_function(Some(&function.parameters), &function.body);
        let around = Around { name: function.name.as_str(), asynchronous: function.is_async };
        self.functions.push(around);
        self.visit_body(&function.body);
        self.functions.pop();
        self.scopes.leave();
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

/// The constant path from a name, and the first computed index on it.
fn path_of<'a>(
    expr: &'a Expr,
    lines: &Lines,
) -> Option<(&'a ExprName, Vec<Step>, Option<&'a Expr>)> {
    let mut steps = Vec::new();
    let mut computed = None;
    let mut at = expr;
    loop {
        match at {
            Expr::Name(name) => {
                steps.reverse();
                return Some((name, steps, computed));
            }
            Expr::Attribute(attribute) => {
                let name = attribute.attr.to_string();
                steps.push(Step { name, range: attribute.attr.range, index: false });
                at = &attribute.value;
            }
            Expr::Subscript(subscript) => {
                match subscript.slice.as_ref() {
                    Expr::StringLiteral(name) => {
                        let end = subscript.end();
                        let range = TextRange::new(subscript.value.end(), end);
                        // A bracket around the value, as in (github)["x"], is no part of a name.
                        let plain = lines.text(range).trim_start().starts_with('[');
                        let name = name.value.to_str().to_owned();
                        steps.push(Step { name, range, index: true });
                        if !plain {
                            return None;
                        }
                    }
                    other => {
                        // What follows a computed index is no constant path.
                        steps.clear();
                        computed = Some(other);
                    }
                }
                at = &subscript.value;
            }
            _ => return None,
        }
    }
}

impl<'a> Visitor<'a> for Reader<'a> {
    fn visit_annotation(&mut self, _expr: &'a Expr) {}

    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(_) => self.function(stmt),
            Stmt::ClassDef(class) => {
                class.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
                self.scopes.enter_class(&class.body);
                self.visit_body(&class.body);
                self.scopes.leave();
            }
            Stmt::Assign(assign) => self.assign(&assign.targets, &assign.value),
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.assign(std::slice::from_ref(assign.target.as_ref()), value);
                }
            }
            Stmt::AugAssign(assign) => {
                self.assign(std::slice::from_ref(assign.target.as_ref()), &assign.value);
            }
            Stmt::Return(give) => {
                // A plain function may hand a future to a caller that awaits it.
                let future = self.functions.last().is_some_and(|function| {
                    !function.asynchronous && self.flow.awaits(&[function.name])
                });
                if let Some(value) = &give.value {
                    self.want(future, value);
                }
            }
            Stmt::For(each) => {
                let mut names = Vec::new();
                flow::bound(&each.target, &mut names);
                self.want(self.flow.awaits(&names), &each.iter);
                self.want(false, &each.target);
                self.visit_body(&each.body);
                self.visit_body(&each.orelse);
            }
            Stmt::Try(attempt) => {
                let guards = gaps::catches(attempt, &["NameError", "Exception"]);
                self.guarded += usize::from(guards);
                self.visit_body(&attempt.body);
                self.guarded -= usize::from(guards);
                attempt.handlers.iter().for_each(|handler| self.visit_except_handler(handler));
                self.visit_body(&attempt.orelse);
                self.visit_body(&attempt.finalbody);
            }
            other => visitor::walk_stmt(self, other),
        }
    }

    fn visit_comprehension(&mut self, _comprehension: &'a Comprehension) {}

    fn visit_expr(&mut self, expr: &'a Expr) {
        let future = std::mem::take(&mut self.future);
        if self.several(expr, future) {
            return;
        }
        match expr {
            Expr::Call(call) => self.call(call, future),
            Expr::Await(wait) => self.wait(&wait.value, self.lines.at(expr.start())),
            Expr::Name(_) => {
                self.path(expr, None, future);
            }
            Expr::Attribute(_) | Expr::Subscript(_) => {
                if self.path(expr, None, future).is_none() {
                    visitor::walk_expr(self, expr);
                }
            }
            Expr::Named(named) => {
                let mut names = Vec::new();
                flow::bound(&named.target, &mut names);
                self.want(future || self.flow.awaits(&names), &named.value);
            }
            Expr::Lambda(lambda) => {
                if let Some(parameters) = &lambda.parameters {
                    self.visit_parameters(parameters);
                }
                self.scopes.enter_function(lambda.parameters.as_deref(), &[]);
                self.functions.push(Around { name: "lambda", asynchronous: false });
                self.want(future, &lambda.body);
                self.functions.pop();
                self.scopes.leave();
            }
            Expr::ListComp(c) => {
                self.future = future;
                self.comprehension(&c.generators, &[c.elt.as_ref()]);
            }
            Expr::SetComp(c) => {
                self.future = future;
                self.comprehension(&c.generators, &[c.elt.as_ref()]);
            }
            Expr::Generator(c) => {
                self.future = future;
                self.comprehension(&c.generators, &[c.elt.as_ref()]);
            }
            Expr::DictComp(c) => {
                if let Some(key) = &c.key {
                    // The key may use the targets, so it is read among the elements; a tool's
                    // future as a key makes no sense.
                    self.future = future;
                    self.comprehension(&c.generators, &[key.as_ref(), c.value.as_ref()]);
                }
            }
            other => visitor::walk_expr(self, other),
        }
    }
}
