//! Where a program wants futures, and where it wants results.
//!
//! `await github.x()` and `asyncio.gather(github.a(), github.b())` want futures, so that calls run
//! in parallel; `github.x()["title"]` wants the result, though `await` was forgotten, and gets it.
//! Between the two stand names: `task = github.x()` is a future if `task` is awaited anywhere.
//! This finds the names whose values are awaited, by following them backwards.

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Comprehension, Expr, ExprCall, Stmt};
use std::collections::{HashMap, HashSet};

/// The names whose values are awaited somewhere.
#[derive(Debug, Default)]
pub(super) struct Flow<'a> {
    awaited: HashSet<&'a str>,
    /// Functions that await what they are given.
    takers: HashSet<&'a str>,
    /// The names of all functions and methods.
    functions: HashSet<&'a str>,
    /// The program awaits something, or names asyncio.
    asynchronous: bool,
}

impl<'a> Flow<'a> {
    pub(super) fn of(body: &'a [Stmt]) -> Self {
        let mut facts = Facts::default();
        facts.visit_body(body);
        let mut awaited: HashSet<&str> = HashSet::new();
        for wanted in &facts.wanted {
            sources(wanted, &mut awaited);
        }
        // Each round follows one more step backwards; the bound only keeps hostile chains short.
        for _ in 0..16 {
            let before = awaited.len();
            for (targets, value) in &facts.moves {
                if targets.iter().any(|target| awaited.contains(target)) {
                    sources(value, &mut awaited);
                }
            }
            for (function, value) in &facts.given {
                if facts.takes(function, &awaited) {
                    sources(value, &mut awaited);
                }
            }
            if awaited.len() == before {
                break;
            }
        }
        let functions: HashSet<&str> = facts.signatures.keys().copied().collect();
        let takers = functions.iter().copied().filter(|name| facts.takes(name, &awaited)).collect();
        Self { awaited, takers, functions, asynchronous: facts.asynchronous }
    }

    /// The program can use futures at all.
    pub(super) fn asynchronous(&self) -> bool {
        self.asynchronous
    }

    /// The program's function of this name awaits what it is given.
    pub(super) fn takes_futures(&self, name: &str) -> bool {
        self.takers.contains(name)
    }

    /// The program defines a function or a method of this name.
    pub(super) fn defines(&self, name: &str) -> bool {
        self.functions.contains(name)
    }

    /// A value bound to one of these names is awaited somewhere.
    pub(super) fn awaits(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.awaited.contains(name))
    }
}

/// The names that an assignment to `target` changes: `a`, and `a` for `a[k]`, `a.b` and `(a, _)`.
pub(super) fn bound<'a>(target: &'a Expr, names: &mut Vec<&'a str>) {
    match target {
        Expr::Name(name) => names.push(name.id.as_str()),
        Expr::Attribute(attribute) => bound(&attribute.value, names),
        Expr::Subscript(subscript) => bound(&subscript.value, names),
        Expr::Starred(starred) => bound(&starred.value, names),
        Expr::Tuple(tuple) => tuple.elts.iter().for_each(|element| bound(element, names)),
        Expr::List(list) => list.elts.iter().for_each(|element| bound(element, names)),
        _ => {}
    }
}

/// `asyncio.anything(...)`: its arguments are futures.
pub(super) fn is_asyncio(func: &Expr) -> bool {
    match func {
        Expr::Attribute(attribute) => {
            matches!(attribute.value.as_ref(), Expr::Name(name) if name.id.as_str() == "asyncio")
        }
        Expr::Name(name) => matches!(name.id.as_str(), "gather" | "create_task"),
        _ => false,
    }
}

/// `tasks.append(...)` and its like: the name that takes the arguments in.
pub(super) fn container(func: &Expr) -> Option<&str> {
    let attribute = func.as_attribute_expr()?;
    let takes = matches!(
        attribute.attr.as_str(),
        "append" | "appendleft" | "add" | "insert" | "extend" | "update" | "setdefault"
    );
    let name = attribute.value.as_name_expr().filter(|_| takes)?;
    Some(name.id.as_str())
}

/// Builtins that hand their arguments on.
pub(super) fn hands_on(name: &str) -> bool {
    matches!(
        name,
        "list" | "tuple" | "set" | "dict" | "zip" | "reversed" | "enumerate" | "map" | "filter"
    )
}

/// Adds the names that the awaited expression `expr` takes its future from.
fn sources<'a>(expr: &'a Expr, into: &mut HashSet<&'a str>) {
    match expr {
        Expr::Name(name) => {
            into.insert(name.id.as_str());
        }
        Expr::Attribute(attribute) => sources(&attribute.value, into),
        Expr::Subscript(subscript) => sources(&subscript.value, into),
        Expr::Starred(starred) => sources(&starred.value, into),
        Expr::Await(inner) => sources(&inner.value, into),
        Expr::Lambda(lambda) => sources(&lambda.body, into),
        Expr::Named(named) => {
            sources(&named.target, into);
            sources(&named.value, into);
        }
        Expr::If(choice) => {
            sources(&choice.body, into);
            sources(&choice.orelse, into);
        }
        Expr::BinOp(operation) => {
            sources(&operation.left, into);
            sources(&operation.right, into);
        }
        Expr::BoolOp(operation) => operation.values.iter().for_each(|value| sources(value, into)),
        Expr::List(list) => list.elts.iter().for_each(|element| sources(element, into)),
        Expr::Tuple(tuple) => tuple.elts.iter().for_each(|element| sources(element, into)),
        Expr::Set(set) => set.elts.iter().for_each(|element| sources(element, into)),
        Expr::Dict(dict) => dict.items.iter().for_each(|item| sources(&item.value, into)),
        Expr::ListComp(c) => comprehension(&c.elt, &c.generators, into),
        Expr::SetComp(c) => comprehension(&c.elt, &c.generators, into),
        Expr::Generator(c) => comprehension(&c.elt, &c.generators, into),
        Expr::DictComp(c) => comprehension(&c.value, &c.generators, into),
        Expr::Call(call) => call_sources(call, into),
        _ => {}
    }
}

fn comprehension<'a>(element: &'a Expr, from: &'a [Comprehension], into: &mut HashSet<&'a str>) {
    let mut found = HashSet::new();
    sources(element, &mut found);
    for generator in from.iter().rev() {
        let mut names = Vec::new();
        bound(&generator.target, &mut names);
        if names.iter().any(|name| found.contains(name)) {
            sources(&generator.iter, &mut found);
        }
    }
    into.extend(found);
}

/// `f(...)` is awaited: `f` gives futures. What it is given are ordinary values, but for what hands
/// them on.
fn call_sources<'a>(call: &'a ExprCall, into: &mut HashSet<&'a str>) {
    let passes = match call.func.as_ref() {
        Expr::Name(name) => hands_on(name.id.as_str()),
        _ => false,
    };
    if passes || is_asyncio(&call.func) {
        call.arguments.args.iter().for_each(|argument| sources(argument, into));
        return;
    }
    sources(&call.func, into);
}

/// What is awaited, and what moves where.
#[derive(Default)]
struct Facts<'a> {
    wanted: Vec<&'a Expr>,
    moves: Vec<(Vec<&'a str>, &'a Expr)>,
    /// Functions around the place that is read.
    functions: Vec<&'a str>,
    /// Every function with its parameters.
    signatures: HashMap<&'a str, Vec<&'a str>>,
    /// What functions are given.
    given: Vec<(&'a str, &'a Expr)>,
    asynchronous: bool,
}

impl<'a> Facts<'a> {
    fn takes(&self, function: &str, awaited: &HashSet<&str>) -> bool {
        let parameters = self.signatures.get(function);
        parameters.is_some_and(|names| names.iter().any(|name| awaited.contains(name)))
    }

    fn moves(&mut self, target: &'a Expr, value: &'a Expr) {
        let mut names = Vec::new();
        bound(target, &mut names);
        self.moves.push((names, value));
    }
}

impl<'a> Visitor<'a> for Facts<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Assign(assign) => {
                assign.targets.iter().for_each(|target| self.moves(target, &assign.value));
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.moves(&assign.target, value);
                }
            }
            Stmt::AugAssign(assign) => self.moves(&assign.target, &assign.value),
            Stmt::For(each) => self.moves(&each.target, &each.iter),
            Stmt::Return(give) => {
                if let (Some(value), Some(function)) = (&give.value, self.functions.last()) {
                    self.moves.push((vec![function], value));
                }
            }
            Stmt::FunctionDef(function) => {
                let parameters = function.parameters.iter().map(|p| p.name().as_str()).collect();
                self.signatures.insert(function.name.as_str(), parameters);
                self.functions.push(function.name.as_str());
                visitor::walk_stmt(self, stmt);
                self.functions.pop();
                return;
            }
            _ => {}
        }
        visitor::walk_stmt(self, stmt);
    }

    fn visit_annotation(&mut self, _expr: &'a Expr) {}

    fn visit_comprehension(&mut self, comprehension: &'a Comprehension) {
        self.moves(&comprehension.target, &comprehension.iter);
        visitor::walk_comprehension(self, comprehension);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Await(wait) => {
                self.asynchronous = true;
                self.wanted.push(&wait.value);
            }
            Expr::Named(named) => self.moves(&named.target, &named.value),
            Expr::Call(call) => {
                if is_asyncio(&call.func) {
                    self.asynchronous = true;
                    self.wanted.extend(call.arguments.args.iter());
                }
                if let Expr::Name(function) = call.func.as_ref() {
                    let values = call.arguments.args.iter();
                    self.given.extend(values.map(|value| (function.id.as_str(), value)));
                }
                if let Some(name) = container(&call.func) {
                    let values = call.arguments.args.iter();
                    self.moves.extend(values.map(|value| (vec![name], value)));
                }
            }
            _ => {}
        }
        visitor::walk_expr(self, expr);
    }
}
