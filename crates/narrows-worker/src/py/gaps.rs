//! What Python has and Monty 0.0.23 lacks, found before the run and said with the way around it.
//!
//! `tests::gaps` runs every construct named here in Monty, so that a gap that a later version
//! closes makes a test fail.

use narrows_types::Finding;
use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Comprehension, Expr, ExprBinOp, ExprCall, Number, Operator, Stmt};
use ruff_python_ast::{ExceptHandler, StmtClassDef, StmtImport, StmtImportFrom, StmtTry};
use ruff_text_size::{Ranged, TextSize};
use std::collections::{HashMap, HashSet};

use super::probe::Probe;
use super::scope;
use super::source::Lines;

/// Modules that need no import: agents forget it.
pub(super) const IMPORTED: [&str; 9] = [
    "asyncio",
    "base64",
    "collections",
    "datetime",
    "functools",
    "itertools",
    "json",
    "math",
    "re",
];

/// Finds every gap in a program.
pub(super) fn find(body: &[Stmt], lines: &Lines, probe: &Probe) -> Vec<Finding> {
    let mut finder = Finder {
        lines,
        probe,
        found: Vec::new(),
        modules: HashMap::new(),
        excused: 0,
        bound: scope::bound_anywhere(body),
    };
    for name in IMPORTED {
        finder.modules.insert(name, name);
    }
    finder.visit_body(body);
    finder.found
}

/// What to do without a builtin that Python has and Monty lacks; `None` for a name that is none.
pub(super) fn builtin(name: &str) -> Option<&'static str> {
    let way = match name {
        "property" | "staticmethod" | "classmethod" | "super" => "use plain functions and methods",
        "eval" | "exec" | "compile" | "__import__" => "programs cannot make code",
        "callable" => "use hasattr(x, '__call__')",
        "format" => "use an f-string: f\"{x:.2f}\"",
        "ascii" => "use repr(x)",
        "vars" | "dir" | "locals" | "globals" => "keep what you need in a dict",
        "issubclass" => "use isinstance",
        "delattr" => "set the attribute to None",
        "bytearray" | "memoryview" => "use bytes or a list of int",
        "complex" => "keep two floats",
        "aiter" | "anext" => "use asyncio.gather",
        "breakpoint" | "help" | "exit" | "quit" => "use print, or return early",
        "IOError" | "EnvironmentError" | "ConnectionError" | "BlockingIOError"
        | "InterruptedError" | "ProcessLookupError" => "use OSError",
        "UnicodeError" => "use ValueError",
        "IndentationError" | "TabError" => "use SyntaxError",
        "ModuleNotFoundError"
        | "StopAsyncIteration"
        | "EOFError"
        | "BufferError"
        | "FloatingPointError"
        | "ReferenceError"
        | "SystemError"
        | "GeneratorExit"
        | "ExceptionGroup"
        | "BaseExceptionGroup"
        | "Warning"
        | "UserWarning"
        | "DeprecationWarning"
        | "RuntimeWarning" => "use Exception or RuntimeError",
        "true" => "write True",
        "false" => "write False",
        "null" | "undefined" | "nil" => "write None",
        _ => return None,
    };
    Some(way)
}

/// What to do without a method that some type of Python's has and no type of Monty's.
pub(super) fn method(name: &str) -> Option<&'static str> {
    let way = match name {
        "translate" | "maketrans" => "use x.replace(a, b)",
        "format_map" => "use x.format(**mapping)",
        "strptime" => "use datetime.fromisoformat, or re and datetime(...)",
        "bit_length" => "use len(bin(x)) - 2",
        "is_integer" => "use x == int(x)",
        "from_bytes" | "to_bytes" => "compute with << and &",
        _ => return None,
    };
    Some(way)
}

/// Methods that Python calls for operators and Monty does not.
fn is_dead_method(name: &str) -> bool {
    matches!(
        name,
        "__lt__"
            | "__le__"
            | "__gt__"
            | "__ge__"
            | "__add__"
            | "__radd__"
            | "__iadd__"
            | "__sub__"
            | "__mul__"
            | "__truediv__"
            | "__mod__"
            | "__getitem__"
            | "__setitem__"
            | "__or__"
            | "__and__"
            | "__len__"
            | "__bool__"
            | "__neg__"
            | "__abs__"
            | "__int__"
            | "__float__"
            | "__call__"
            | "__getattr__"
            | "__setattr__"
            | "__new__"
            | "__bytes__"
            | "__await__"
    )
}

fn module(name: &str) -> &'static str {
    match name.split('.').next().unwrap_or(name) {
        "requests" | "httpx" | "aiohttp" | "urllib" | "urllib3" | "socket" | "http" => {
            "programs have no network: call a tool"
        }
        "os" | "shutil" | "glob" | "tempfile" | "io" => {
            "for scratch files use pathlib.Path, open, or scratch.write and scratch.read"
        }
        "subprocess" => "programs have no processes: call a tool",
        "time" => "use datetime.datetime.now(); there is nothing to sleep for",
        "random" | "secrets" | "uuid" => "take random values from `input` or a tool",
        "csv" => "use text.splitlines() and line.split(',')",
        "statistics" => "use sum(xs) / len(xs) and sorted(xs)",
        "decimal" | "fractions" => "use int, float and round(x, 2)",
        "copy" => "use list(x), dict(x) or x.copy()",
        "operator" => "use a lambda",
        "enum" => "use constants",
        "heapq" | "bisect" => "use sorted(xs)",
        "string" => "write the characters out",
        "textwrap" => "slice the text",
        "tools" | "mcp" | "narrows" => "every server is a name already: delete the import",
        "pandas" | "numpy" => "use lists, dicts and sum/min/max/sorted",
        _ => "leave it out",
    }
}

fn member(module: &str, name: &str) -> &'static str {
    match (module, name) {
        ("asyncio", "sleep") => "there is nothing to wait for: leave it out",
        ("asyncio", _) => "use asyncio.gather(a(), b())",
        ("datetime", _) => "use datetime.datetime, date, timedelta, timezone",
        ("collections", _) => "use dict, deque, defaultdict, Counter",
        ("functools", _) => "use reduce, partial, or a dict as a cache",
        ("itertools", _) => "use a loop",
        _ => "do without it",
    }
}

struct Finder<'a> {
    lines: &'a Lines<'a>,
    probe: &'a Probe,
    found: Vec<Finding>,
    /// Names that stand for modules.
    modules: HashMap<&'a str, &'a str>,
    /// Names that somewhere are no module.
    bound: HashSet<&'a str>,
    /// How many enclosing `try` statements catch a failed import.
    excused: usize,
}

impl<'a> Finder<'a> {
    fn gap(&mut self, at: TextSize, what: &str, instead: &str) {
        let message = format!("{what} is not supported here; {instead}");
        self.found.push(Finding { at: self.lines.at(at), message });
    }

    fn missing_module(&mut self, at: TextSize, name: &str) {
        let has = "asyncio, base64, collections, dataclasses, datetime, functools, itertools, \
                   json, math, pathlib, re, typing, unicodedata";
        let message = format!("module {name} is not available here; {} (has {has})", module(name));
        self.found.push(Finding { at: self.lines.at(at), message });
    }

    fn import(&mut self, import: &'a StmtImport) {
        for alias in &import.names {
            let name = alias.name.as_str();
            if !self.has_module(name) {
                if self.excused == 0 {
                    self.missing_module(alias.start(), name);
                }
                continue;
            }
            self.modules.insert(alias.asname.as_ref().map_or(name, |n| n.as_str()), name);
        }
    }

    fn import_from(&mut self, import: &'a StmtImportFrom) {
        let name = import.module.as_ref().map_or("", |module| module.as_str());
        if name == "__future__" || self.excused > 0 {
            return;
        }
        if import.level > 0 {
            self.gap(import.start(), "a relative import", "a program is one file");
        } else if !self.has_module(name) {
            self.missing_module(import.start(), name);
        } else {
            for alias in &import.names {
                let bound = alias.asname.as_ref().unwrap_or(&alias.name);
                self.modules.remove(bound.as_str());
                self.imported(name, alias.name.as_str(), alias.start());
            }
        }
    }

    fn imported(&mut self, module: &str, name: &str, at: TextSize) {
        if name == "*" {
            self.gap(at, "a star import", "name what you need");
        } else if !self.probe.member(module, name) {
            self.gap(at, &format!("{module}.{name}"), member(module, name));
        }
    }

    /// `os` can be imported in Monty, but all that it does is refused.
    fn has_module(&self, name: &str) -> bool {
        name != "os" && is_dotted_name(name) && self.probe.module(name)
    }

    fn class(&mut self, class: &StmtClassDef) {
        if let Some(arguments) = &class.arguments
            && !arguments.is_empty()
        {
            self.gap(
                arguments.start(),
                "class inheritance",
                "write a class without bases; for errors raise ValueError or RuntimeError",
            );
        }
        for stmt in &class.body {
            match stmt {
                Stmt::FunctionDef(method) => {
                    if is_dead_method(method.name.as_str()) {
                        let instead =
                            "write a method with a plain name and call it (to sort, key=)";
                        self.gap(method.name.start(), method.name.as_str(), instead);
                    }
                    if let Some(decorator) = method.decorator_list.first() {
                        let instead = "write a plain method, or a function outside the class";
                        self.gap(decorator.start(), "a decorator on a method", instead);
                    }
                }
                Stmt::Pass(_) | Stmt::Assign(_) | Stmt::AnnAssign(_) | Stmt::Expr(_) => {}
                other => {
                    let instead = "keep to methods and `name = value`";
                    self.gap(other.start(), "this statement in a class body", instead);
                }
            }
        }
    }

    fn call(&mut self, call: &ExprCall) {
        let keyword = |name: &str| {
            let is = |keyword: &&ruff_python_ast::Keyword| {
                keyword.arg.as_ref().is_some_and(|arg| arg.as_str() == name)
            };
            call.arguments.keywords.iter().find(is).map(Ranged::start)
        };
        match call.func.as_ref() {
            Expr::Name(name) if name.id.as_str() == "print" => {
                if let Some(at) = keyword("file") {
                    self.gap(at, "print(file=...)", "leave `file` out: every line is captured");
                }
            }
            func if super::flow::is_asyncio(func) => {
                let computed = call.arguments.find_keyword("return_exceptions");
                if let Some(at) = keyword("return_exceptions")
                    && computed.is_some_and(|keyword| !keyword.value.is_boolean_literal_expr())
                {
                    let instead = "write True or False";
                    self.gap(at, "a computed return_exceptions", instead);
                }
            }
            _ => {}
        }
    }

    fn operation(&mut self, operation: &ExprBinOp) {
        let (left, right) = (operation.left.as_ref(), operation.right.as_ref());
        match operation.op {
            Operator::Mod if left.is_string_literal_expr() || left.is_f_string_expr() => {
                let instead = "use an f-string: f\"{a} of {b}\"";
                self.gap(operation.start(), "formatting with %", instead);
            }
            Operator::BitOr if is_dict(left) || is_dict(right) => {
                self.gap(operation.start(), "dict | dict", "use {**a, **b}");
            }
            Operator::MatMult => self.gap(operation.start(), "@", "multiply in a loop"),
            _ => {}
        }
    }

    fn attribute(&mut self, value: &Expr, name: &str, at: TextSize) {
        match value {
            Expr::Name(module) => {
                let name_of_module = module.id.as_str();
                let Some(module) = self.modules.get(name_of_module).copied() else { return };
                if self.bound.contains(name_of_module) {
                    return;
                }
                if !self.probe.member(module, name) {
                    self.gap(at, &format!("{module}.{name}"), member(module, name));
                }
            }
            Expr::StringLiteral(_) | Expr::FString(_) if !self.probe.method_of_text(name) => {
                self.gap(at, &format!("str.{name}"), "use another method of str");
            }
            _ => {}
        }
    }
}

/// A `try` one of whose handlers takes an error of one of these names, or any error.
pub(super) fn catches(attempt: &StmtTry, names: &[&str]) -> bool {
    let named = |expr: &Expr| match expr {
        Expr::Name(name) => names.contains(&name.id.as_str()),
        _ => false,
    };
    attempt.handlers.iter().any(|handler| {
        let ExceptHandler::ExceptHandler(handler) = handler;
        match handler.type_.as_deref() {
            None => true,
            Some(Expr::Tuple(tuple)) => tuple.elts.iter().any(named),
            Some(other) => named(other),
        }
    })
}

fn is_dict(expr: &Expr) -> bool {
    expr.is_dict_expr() || expr.is_dict_comp_expr()
}

fn is_dotted_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}

impl<'a> Visitor<'a> for Finder<'a> {
    fn visit_annotation(&mut self, _expr: &'a Expr) {}

    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        let at = stmt.start();
        match stmt {
            Stmt::ClassDef(class) => self.class(class),
            Stmt::Import(import) => self.import(import),
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::Delete(_) => self.gap(at, "del", "use x.pop(key), or build a new value"),
            Stmt::Match(_) => self.gap(at, "match", "use if/elif"),
            Stmt::TypeAlias(_) => self.gap(at, "a type alias", "leave it out"),
            Stmt::For(each) if each.is_async => self.gap(at, "async for", "use for"),
            Stmt::With(with) if with.is_async => self.gap(at, "async with", "use with"),
            Stmt::AugAssign(assign) => match assign.op {
                Operator::BitOr if is_dict(&assign.value) => {
                    self.gap(at, "dict |= dict", "use a.update(b)");
                }
                Operator::MatMult => self.gap(at, "@=", "multiply in a loop"),
                _ => {}
            },
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    if let Expr::Subscript(subscript) = target
                        && subscript.slice.is_slice_expr()
                    {
                        self.gap(at, "assigning to a slice", "build a new list");
                    }
                }
            }
            Stmt::Try(attempt) => {
                if attempt.is_star {
                    self.gap(at, "except*", "use except");
                }
                let names = ["ImportError", "ModuleNotFoundError", "Exception"];
                if catches(attempt, &names) {
                    self.excused += 1;
                    self.visit_body(&attempt.body);
                    self.excused -= 1;
                    attempt.handlers.iter().for_each(|handler| self.visit_except_handler(handler));
                    self.visit_body(&attempt.orelse);
                    self.visit_body(&attempt.finalbody);
                    return;
                }
            }
            _ => {}
        }
        visitor::walk_stmt(self, stmt);
    }

    fn visit_comprehension(&mut self, comprehension: &'a Comprehension) {
        if comprehension.is_async {
            let at = comprehension.start();
            self.gap(at, "an async comprehension", "use for, and await in its body");
        }
        visitor::walk_comprehension(self, comprehension);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        let at = expr.start();
        match expr {
            Expr::Yield(_) | Expr::YieldFrom(_) => self.gap(at, "yield", "build and return a list"),
            Expr::TString(_) => self.gap(at, "a t-string", "use an f-string"),
            Expr::NumberLiteral(number) if matches!(number.value, Number::Complex { .. }) => {
                self.gap(at, "a complex number", "keep two floats");
            }
            Expr::BinOp(operation) => self.operation(operation),
            Expr::Call(call) => self.call(call),
            Expr::Attribute(attribute) => {
                self.attribute(&attribute.value, attribute.attr.as_str(), attribute.attr.start());
            }
            _ => {}
        }
        visitor::walk_expr(self, expr);
    }
}
