//! The walk itself: which place an expression stands in, and what is wanted of it there.

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Comprehension, Expr, Stmt};
use ruff_text_size::Ranged;

use super::flow;
use super::gaps;
use super::reader::{Around, LAMBDA, Reader};

impl<'a> Reader<'a> {
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
            for test in &generator.ifs {
                self.want(false, test);
            }
        }
        for element in elements {
            self.want(future, element);
        }
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
        for target in targets {
            flow::bound(target, &mut names);
        }
        let future = self.flow.awaits(&names);
        self.bound = names.first().copied().unwrap_or(LAMBDA);
        self.want(future, value);
        self.bound = LAMBDA;
        for target in targets {
            self.want(false, target);
        }
    }

    fn function(&mut self, stmt: &'a Stmt) {
        let Stmt::FunctionDef(function) = stmt else { return };
        for decorator in &function.decorator_list {
            self.visit_decorator(decorator);
        }
        self.visit_parameters(&function.parameters);
        self.scopes.enter_function(Some(&function.parameters), &function.body);
        let (name, asynchronous) = (function.name.as_str(), function.is_async);
        let around = Around { name, asynchronous, lambda: false, tries: 0 };
        self.functions.push(around);
        self.visit_body(&function.body);
        self.functions.pop();
        self.scopes.leave();
    }
}

impl<'a> Visitor<'a> for Reader<'a> {
    fn visit_annotation(&mut self, _expr: &'a Expr) {}

    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(_) => self.function(stmt),
            Stmt::ClassDef(class) => {
                for decorator in &class.decorator_list {
                    self.visit_decorator(decorator);
                }
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
                    if self.functions.last().is_none_or(|function| function.name == "main") {
                        self.listed(value);
                    }
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
                self.in_try(1);
                self.visit_body(&attempt.body);
                self.in_try(-1);
                self.guarded -= usize::from(guards);
                for handler in &attempt.handlers {
                    self.visit_except_handler(handler);
                }
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
            Expr::Await(wait) => self.wait(&wait.value, expr.start()),
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
                let name = std::mem::replace(&mut self.bound, LAMBDA);
                self.functions.push(Around { name, asynchronous: false, lambda: true, tries: 0 });
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
