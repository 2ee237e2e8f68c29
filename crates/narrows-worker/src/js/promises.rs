//! A tool's promise that is used as if it were the result: `await` is missing.
//!
//! Only what can never be meant is found: a promise has no members but `then`, `catch` and
//! `finally`, and nothing that can be taken apart, looped over, spread, added or tested. The same
//! goes for the items of `xs.map((x) => github.get(x))`.

use super::literal::bare;
use super::names::{Names, chain};
use super::place::Lines;
use super::strip::FINDINGS_MAX;
use narrows_types::Finding;
use oxc_ast::ast::{
    ArrowFunctionBody, BinaryExpression, BinaryOperator, BindingPattern, CallExpression,
    ChainElement, ComputedMemberExpression, ConditionalExpression, Expression, ForOfStatement,
    ForStatementLeft, FormalParameters, FunctionBody, IfStatement, Program, SpreadElement,
    Statement, StaticMemberExpression, TemplateLiteral, UnaryExpression, UnaryOperator,
    VariableDeclarator,
};
use oxc_ast_visit::{Visit, walk};
use oxc_semantic::SymbolId;
use oxc_span::{GetSpan as _, Span};
use std::collections::{HashMap, HashSet};

/// Functions of the prelude that give promises.
const ASKING: [&str; 3] = ["search", "artifact", "ask"];

/// Functions for scratch files that leave as calls; the others give their results at once.
const LEAVING: [&str; 3] = ["keep", "save", "load"];

/// The members that a promise has.
const MEMBERS: [&str; 3] = ["then", "catch", "finally"];

/// Methods of arrays whose functions are given an item, with its place among the parameters.
const EACH: [(&str, usize); 11] = [
    ("every", 0),
    ("filter", 0),
    ("find", 0),
    ("findIndex", 0),
    ("flatMap", 0),
    ("forEach", 0),
    ("map", 0),
    ("reduce", 1),
    ("some", 0),
    ("sort", 0),
    ("toSorted", 0),
];

/// Finds every such use.
pub(super) fn find(
    program: &Program<'_>,
    names: &Names<'_>,
    lines: &Lines<'_>,
    globals: &HashSet<String>,
) -> Vec<Finding> {
    let mut reader = Reader {
        names,
        lines,
        globals,
        promises: HashMap::new(),
        arrays: HashMap::new(),
        findings: Vec::new(),
    };
    reader.visit_program(program);
    reader.findings
}

struct Reader<'r> {
    names: &'r Names<'r>,
    lines: &'r Lines<'r>,
    globals: &'r HashSet<String>,
    /// Names that hold a promise, with what to say where it is used as a result.
    promises: HashMap<SymbolId, String>,
    /// Names that hold an array of promises, with what to say of its items.
    arrays: HashMap<SymbolId, String>,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    /// The call that gives a tool's promise, as the program writes it.
    fn called(&self, call: &CallExpression<'_>) -> Option<String> {
        let chain = chain(&call.callee)?;
        let (root, path) = self.names.free(chain.root, &chain.path)?;
        let tool = if root == "tools" {
            path.len() >= 2 || !chain.whole
        } else if path.is_empty() && chain.whole {
            ASKING.contains(&root.as_str())
        } else {
            !self.globals.contains(&root)
        };
        if at_once(&root, &path) {
            return None;
        }
        tool.then(|| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let dots = if chain.whole { "" } else { "[...]" };
            [[&[root.as_str()], path.as_slice()].concat().join("."), dots.to_owned()].concat()
        })
    }

    /// What to say of an expression that is a promise, where it is used as a result.
    fn promise(&self, expression: &Expression<'_>) -> Option<String> {
        let call = match bare(expression) {
            Expression::CallExpression(call) => self.called(call)?,
            Expression::ChainExpression(chain) => match &chain.expression {
                ChainElement::CallExpression(call) => self.called(call)?,
                _ => return None,
            },
            Expression::Identifier(name) => {
                return self.promises.get(&self.names.symbol(name)?).cloned();
            }
            Expression::ComputedMemberExpression(member) => {
                let name = matches!(member.expression, Expression::StringLiteral(_));
                return if name { None } else { self.array(&member.object) };
            }
            _ => return None,
        };
        Some(format!("await is missing: {call}(...) gives a promise; write await {call}(...)"))
    }

    /// What to say of the items of an expression that is an array of promises.
    fn array(&self, expression: &Expression<'_>) -> Option<String> {
        let of = match bare(expression) {
            Expression::Identifier(name) => {
                return self.arrays.get(&self.names.symbol(name)?).cloned();
            }
            Expression::CallExpression(call) => self.mapped(call)?,
            _ => return None,
        };
        Some(format!(
            "await is missing: the items are promises{of}; write await Promise.all(...) around the \
             array"
        ))
    }

    /// `xs.map(f)`, where `f` gives promises; of what they are, if that can be told.
    fn mapped(&self, call: &CallExpression<'_>) -> Option<String> {
        let Expression::StaticMemberExpression(method) = bare(&call.callee) else { return None };
        if method.property.name != "map" {
            return None;
        }
        let function = inline(call.arguments.first()?.as_expression()?)?;
        if function.asynchronous {
            return Some(String::new());
        }
        match bare(function.gives?) {
            Expression::CallExpression(call) => {
                self.called(call).map(|call| format!(" of {call}(...)"))
            }
            _ => None,
        }
    }

    /// These names are bound to a promise.
    fn bind(&mut self, pattern: &BindingPattern<'_>, message: String) {
        match pattern {
            BindingPattern::BindingIdentifier(name) => {
                if let Some(symbol) = self.names.constant(name) {
                    self.promises.insert(symbol, message);
                }
            }
            BindingPattern::AssignmentPattern(value) => self.bind(&value.left, message),
            pattern => self.report(pattern.span(), message),
        }
    }

    /// These names are bound to an array of promises.
    fn bind_array(&mut self, pattern: &BindingPattern<'_>, message: String) {
        match pattern {
            BindingPattern::BindingIdentifier(name) => {
                if let Some(symbol) = self.names.constant(name) {
                    self.arrays.insert(symbol, message);
                }
            }
            BindingPattern::ArrayPattern(items) => {
                for item in items.elements.iter().flatten() {
                    self.bind(item, message.clone());
                }
            }
            _ => {}
        }
    }

    /// An expression stands where only a result makes sense.
    fn wants_result(&mut self, expression: &Expression<'_>) {
        if let Some(message) = self.promise(expression) {
            self.report(expression.span(), message);
        }
    }

    fn report(&mut self, span: Span, message: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { at: self.lines.at(span.start), message });
        }
    }
}

/// `scratch.read` and its like, also as `tools.scratch.read`.
fn at_once(root: &str, path: &[String]) -> bool {
    let mut names = std::iter::once(root).chain(path.iter().map(String::as_str));
    let first = names.find(|name| *name != "tools");
    first == Some("scratch") && !names.next().is_some_and(|name| LEAVING.contains(&name))
}

/// A function that stands in the text: its parameters, whether it is asynchronous, and what it gives
/// if that is all that it does.
struct Inline<'b, 'a> {
    parameters: &'b FormalParameters<'a>,
    asynchronous: bool,
    gives: Option<&'b Expression<'a>>,
}

fn inline<'b, 'a>(expression: &'b Expression<'a>) -> Option<Inline<'b, 'a>> {
    let only = |body: &'b FunctionBody<'a>| match body.statements.as_slice() {
        [Statement::ReturnStatement(given)] => given.argument.as_ref(),
        _ => None,
    };
    match bare(expression) {
        Expression::ArrowFunctionExpression(arrow) => {
            let gives = match &arrow.body {
                ArrowFunctionBody::FunctionBody(body) => only(body),
                body => body.as_expression(),
            };
            Some(Inline { parameters: &arrow.params, asynchronous: arrow.r#async, gives })
        }
        Expression::FunctionExpression(function) if !function.generator => Some(Inline {
            parameters: &function.params,
            asynchronous: function.r#async,
            gives: function.body.as_deref().and_then(only),
        }),
        _ => None,
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        if let Some(init) = &it.init {
            if let Some(message) = self.promise(init) {
                match &it.id {
                    name @ BindingPattern::BindingIdentifier(_) => self.bind(name, message),
                    _ => self.report(init.span(), message),
                }
            } else if let Some(message) = self.array(init) {
                self.bind_array(&it.id, message);
            }
        }
        walk::walk_variable_declarator(self, it);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        if let Expression::StaticMemberExpression(method) = bare(&it.callee)
            && let Some((_, place)) = EACH.iter().find(|(name, _)| method.property.name == *name)
            && let Some(message) = self.array(&method.object)
            && let Some(function) = it.arguments.first().and_then(|given| given.as_expression())
            && let Some(function) = inline(function)
            && let Some(item) = function.parameters.items.get(*place)
        {
            self.bind(&item.pattern, message);
        }
        walk::walk_call_expression(self, it);
    }

    fn visit_static_member_expression(&mut self, it: &StaticMemberExpression<'a>) {
        if !MEMBERS.contains(&it.property.name.as_str()) {
            self.wants_result(&it.object);
        }
        walk::walk_static_member_expression(self, it);
    }

    fn visit_computed_member_expression(&mut self, it: &ComputedMemberExpression<'a>) {
        self.wants_result(&it.object);
        walk::walk_computed_member_expression(self, it);
    }

    fn visit_for_of_statement(&mut self, it: &ForOfStatement<'a>) {
        self.wants_result(&it.right);
        if let ForStatementLeft::VariableDeclaration(each) = &it.left
            && let Some(message) = self.array(&it.right).filter(|_| !it.r#await)
            && let Some(item) = each.declarations.first()
        {
            self.bind(&item.id, message);
        }
        walk::walk_for_of_statement(self, it);
    }

    fn visit_spread_element(&mut self, it: &SpreadElement<'a>) {
        self.wants_result(&it.argument);
        walk::walk_spread_element(self, it);
    }

    fn visit_template_literal(&mut self, it: &TemplateLiteral<'a>) {
        for expression in &it.expressions {
            self.wants_result(expression);
        }
        walk::walk_template_literal(self, it);
    }

    fn visit_binary_expression(&mut self, it: &BinaryExpression<'a>) {
        if it.operator != BinaryOperator::Instanceof {
            self.wants_result(&it.left);
            self.wants_result(&it.right);
        }
        walk::walk_binary_expression(self, it);
    }

    fn visit_unary_expression(&mut self, it: &UnaryExpression<'a>) {
        use UnaryOperator::{BitwiseNot, LogicalNot, UnaryNegation, UnaryPlus};
        if matches!(it.operator, BitwiseNot | LogicalNot | UnaryNegation | UnaryPlus) {
            self.wants_result(&it.argument);
        }
        walk::walk_unary_expression(self, it);
    }

    fn visit_if_statement(&mut self, it: &IfStatement<'a>) {
        // A name may hold a promise or nothing, but a call always gives a promise.
        if !matches!(bare(&it.test), Expression::Identifier(_)) {
            self.wants_result(&it.test);
        }
        walk::walk_if_statement(self, it);
    }

    fn visit_conditional_expression(&mut self, it: &ConditionalExpression<'a>) {
        if !matches!(bare(&it.test), Expression::Identifier(_)) {
            self.wants_result(&it.test);
        }
        walk::walk_conditional_expression(self, it);
    }
}
