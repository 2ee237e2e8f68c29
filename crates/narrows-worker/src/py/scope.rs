//! Which names a program defines, scope by scope.

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{ExceptHandler, Expr, ExprContext, Identifier, Parameter, Parameters, Stmt};
use std::collections::HashSet;

/// The names of one scope.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    names: HashSet<&'a str>,
    /// A class body, whose names its methods do not see.
    class: bool,
}

/// The scopes around a place, outermost first.
#[derive(Debug, Default)]
pub(super) struct Scopes<'a> {
    open: Vec<Scope<'a>>,
}

impl<'a> Scopes<'a> {
    /// The module's scope; `known` are names that it has from elsewhere.
    pub(super) fn of_module(body: &'a [Stmt], known: &'a HashSet<String>) -> Self {
        let mut collector = Collector::default();
        collector.visit_body(body);
        let mut globals = Globals::default();
        globals.visit_body(body);
        let mut names = collector.names;
        names.extend(globals.names);
        names.extend(known.iter().map(String::as_str));
        Self { open: vec![Scope { names, class: false }] }
    }

    /// The names of the outermost scope.
    pub(super) fn outermost(&self) -> impl Iterator<Item = &'a str> {
        self.open.first().into_iter().flat_map(|scope| scope.names.iter().copied())
    }

    /// Enters a function or a lambda.
    pub(super) fn enter_function(&mut self, parameters: Option<&'a Parameters>, body: &'a [Stmt]) {
        let mut collector = Collector::default();
        collector.visit_body(body);
        let mut names = collector.names;
        names.extend(parameters.into_iter().flat_map(|p| p.iter()).map(|p| p.name().as_str()));
        self.open.push(Scope { names, class: false });
    }

    /// Enters a class body.
    pub(super) fn enter_class(&mut self, body: &'a [Stmt]) {
        let mut collector = Collector::default();
        collector.visit_body(body);
        self.open.push(Scope { names: collector.names, class: true });
    }

    /// Enters a comprehension, whose targets are its own.
    pub(super) fn enter_targets(&mut self, targets: impl Iterator<Item = &'a Expr>) {
        let mut collector = Collector::default();
        targets.for_each(|target| collector.visit_expr(target));
        self.open.push(Scope { names: collector.names, class: false });
    }

    /// Leaves what was entered last.
    pub(super) fn leave(&mut self) {
        self.open.pop();
    }

    /// The program defines this name where it is used.
    pub(super) fn defines(&self, name: &str) -> bool {
        let innermost = self.open.len().saturating_sub(1);
        self.open.iter().enumerate().any(|(depth, scope)| {
            (!scope.class || depth == innermost) && scope.names.contains(name)
        })
    }
}

/// Collects what one scope binds, without entering the scopes inside it.
#[derive(Default)]
struct Collector<'a> {
    names: HashSet<&'a str>,
}

impl<'a> Visitor<'a> for Collector<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(function) => {
                self.names.insert(function.name.as_str());
            }
            Stmt::ClassDef(class) => {
                self.names.insert(class.name.as_str());
            }
            Stmt::Import(import) => {
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                    self.names.insert(name.split('.').next().unwrap_or(name));
                }
            }
            Stmt::ImportFrom(import) => {
                for alias in &import.names {
                    self.names.insert(alias.asname.as_ref().unwrap_or(&alias.name).as_str());
                }
            }
            Stmt::Try(attempt) => {
                for handler in &attempt.handlers {
                    let handler = handler.as_except_handler();
                    self.names
                        .extend(handler.and_then(|h| h.name.as_ref()).map(Identifier::as_str));
                }
                visitor::walk_stmt(self, stmt);
            }
            other => visitor::walk_stmt(self, other),
        }
    }

    fn visit_annotation(&mut self, _expr: &'a Expr) {}

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) if name.ctx != ExprContext::Load => {
                self.names.insert(name.id.as_str());
            }
            // Their targets are their own, but a walrus inside binds outside.
            Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) | Expr::Generator(_) => {
                let mut walrus = Walrus::default();
                visitor::walk_expr(&mut walrus, expr);
                self.names.extend(walrus.names);
            }
            Expr::Lambda(_) => {}
            other => visitor::walk_expr(self, other),
        }
    }
}

/// The targets of `:=`.
#[derive(Default)]
struct Walrus<'a> {
    names: Vec<&'a str>,
}

impl<'a> Visitor<'a> for Walrus<'a> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Named(named) = expr
            && let Expr::Name(name) = named.target.as_ref()
        {
            self.names.push(name.id.as_str());
        }
        visitor::walk_expr(self, expr);
    }
}

/// Names that some function declares `global`.
#[derive(Default)]
struct Globals<'a> {
    names: HashSet<&'a str>,
}

impl<'a> Visitor<'a> for Globals<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        if let Stmt::Global(names) = stmt {
            self.names.extend(names.names.iter().map(Identifier::as_str));
        }
        visitor::walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, _expr: &'a Expr) {}
}

/// Every name that is bound anywhere by anything but an import.
pub(super) fn bound_anywhere(body: &[Stmt]) -> HashSet<&str> {
    let mut bound = Bound::default();
    bound.visit_body(body);
    bound.names
}

#[derive(Default)]
struct Bound<'a> {
    names: HashSet<&'a str>,
}

impl<'a> Visitor<'a> for Bound<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(function) => self.names.insert(function.name.as_str()),
            Stmt::ClassDef(class) => self.names.insert(class.name.as_str()),
            _ => false,
        };
        visitor::walk_stmt(self, stmt);
    }

    fn visit_annotation(&mut self, _expr: &'a Expr) {}

    fn visit_parameter(&mut self, parameter: &'a Parameter) {
        self.names.insert(parameter.name.as_str());
    }

    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(named) = handler;
        self.names.extend(named.name.as_ref().map(Identifier::as_str));
        visitor::walk_except_handler(self, handler);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Name(name) = expr
            && name.ctx != ExprContext::Load
        {
            self.names.insert(name.id.as_str());
        }
        visitor::walk_expr(self, expr);
    }
}
