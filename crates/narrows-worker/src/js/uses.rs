//! What a program refers to and does not define, and what it asks for that does not exist here.

use super::absent::absent;
use super::literal;
use super::mended::mended;
use super::names::{Alias, Chain, Names, chain};
use super::nesting;
use super::place::Lines;
use super::promises;
use super::strip::{self, FINDINGS_MAX, Tree};
use crate::fence::unfenced;
use narrows_types::uses::REFERENCES_MAX;
use narrows_types::{Argument, Finding, Position, Reference, Uses};
use oxc_allocator::Allocator;
use oxc_ast::ast::{
    BindingIdentifier, BindingPattern, CallExpression, ComputedMemberExpression, Decorator,
    Function, IdentifierReference, ImportExpression, ImportMeta, ImportOrExportKind,
    MemberExpression, ModuleDeclaration, ObjectPattern, StaticMemberExpression, TSClassImplements,
    TSInterfaceDeclaration, TSNamespaceDeclaration, TSType, TSTypeAliasDeclaration,
    TSTypeAnnotation, TSTypeParameterDeclaration, TSTypeParameterInstantiation, UnaryExpression,
    UnaryOperator, VariableDeclaration, VariableDeclarator,
};
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan as _, Span};
use oxc_syntax::scope::ScopeFlags;
use std::borrow::Cow;
use std::collections::HashSet;

/// A program that was read.
pub(crate) struct Reading<'a> {
    /// For the host's check. With findings the program must not run.
    pub(crate) uses: Uses,
    /// JavaScript: an async function that gives the program's value. Empty with findings.
    pub(crate) text: String,
    /// It imports modules.
    pub(crate) imports: bool,
    /// The names that it leaves to the next program, if it leaves any.
    pub(crate) names: Vec<String>,
    /// It lets promises race: calls that lost are no longer of interest when it has its value.
    pub(crate) races: bool,
    /// The way back from `text` to the program's own text.
    pub(crate) places: Places<'a>,
}

/// The way back from what runs to a program's own text. It is found anew when it is asked for:
/// only a program that failed needs it.
pub(crate) struct Places<'a> {
    code: Cow<'a, str>,
    /// Which of the programs of its realm it is, from 1.
    pub(super) program: u32,
}

impl Places<'_> {
    /// Where places of what runs, lines and byte columns from 1, are in the program's own text.
    /// Places that are not in it are left out.
    pub(crate) fn backs(&self, places: &[(u32, u32)]) -> Vec<Position> {
        strip::own_places(&self.code, places)
    }
}

/// What exists without a program.
#[derive(Clone, Copy)]
pub(crate) struct Given<'g> {
    /// Names.
    pub(crate) globals: &'g HashSet<String>,
    /// Says why a module cannot be imported; `None`: there are no modules.
    pub(crate) importable: Option<&'g Importable<'g>>,
    /// It leaves its own names to the next program.
    pub(crate) state: bool,
}

/// Whether there is such a module: why not, and what to do instead.
pub(crate) type Importable<'g> = dyn Fn(&str) -> Result<(), String> + 'g;

/// Reads a program. `globals` are the names that exist without it; with `state` it leaves its own
/// to the next one.
pub(crate) fn read<'a>(code: &'a str, globals: &HashSet<String>, state: bool) -> Reading<'a> {
    read_with(code, Given { globals, importable: None, state })
}

/// Reads a program for an engine that may have modules.
pub(crate) fn read_with<'a>(code: &'a str, given: Given<'_>) -> Reading<'a> {
    let code = mended(unfenced(code));
    let lines = Lines::new(&code);
    let read = read_within(&code, &lines, given).unwrap_or_else(|findings| Read {
        uses: Uses { references: Vec::new(), findings },
        ..Read::default()
    });
    let Read { uses, text, names, seen: Seen { imports, races } } = read;
    Reading { uses, text, names, imports, races, places: Places { code, program: 1 } }
}

/// What was read of a program's text.
#[derive(Default)]
struct Read {
    uses: Uses,
    text: String,
    names: Vec<String>,
    seen: Seen,
}

/// What is seen of a program on the way.
#[derive(Default)]
struct Seen {
    imports: bool,
    races: bool,
}

fn read_within(code: &str, lines: &Lines<'_>, given: Given<'_>) -> Result<Read, Vec<Finding>> {
    if let Some(offset) = nesting::too_deep(code) {
        let message = "this nests too deeply: split it into several statements".to_owned();
        return Err(vec![Finding { at: lines.at(offset), message }]);
    }
    let allocator = Allocator::default();
    let tree = strip::parse(&allocator, code, lines)?;
    let (mut uses, seen) = find(&tree, lines, given);
    if given.state || given.importable.is_some() {
        uses.findings.extend(tree.taken(lines));
    }
    if !uses.findings.is_empty() {
        return Ok(Read { uses, ..Read::default() });
    }
    let names = if given.state { tree.names() } else { Vec::new() };
    let text = tree.into_js(lines, &names)?;
    Ok(Read { uses, text, names, seen })
}

fn find(tree: &Tree<'_>, lines: &Lines<'_>, given: Given<'_>) -> (Uses, Seen) {
    let globals = given.globals;
    let mut reader = Reader {
        lines,
        globals,
        importable: given.importable,
        names: Names::new(&tree.scoping),
        probed: HashSet::new(),
        references: Vec::new(),
        missing: Vec::new(),
        findings: Vec::new(),
        seen: Seen::default(),
        inside_namespace: false,
    };
    reader.visit_program(&tree.program);
    let awaits = promises::find(&tree.program, &reader.names, lines, globals);
    let Reader { probed, mut references, missing, mut findings, seen, .. } = reader;
    for reference in &mut references {
        reference.guarded |= probed.contains(&reference.root);
    }
    let missing = missing.into_iter().filter(|(name, _)| !probed.contains(name));
    findings.extend(missing.map(|(_, finding)| finding));
    findings.extend(awaits);
    findings.sort_by(|a, b| (a.at, &a.message).cmp(&(b.at, &b.message)));
    findings.dedup();
    findings.truncate(FINDINGS_MAX);
    references.sort_by_key(|reference| reference.at);
    references.truncate(REFERENCES_MAX);
    (Uses { references, findings }, seen)
}

struct Reader<'r> {
    lines: &'r Lines<'r>,
    globals: &'r HashSet<String>,
    importable: Option<&'r Importable<'r>>,
    names: Names<'r>,
    /// Names under `typeof`.
    probed: HashSet<String>,
    references: Vec<Reference>,
    /// Uses of names that are absent, with the name.
    missing: Vec<(String, Finding)>,
    findings: Vec<Finding>,
    seen: Seen,
    /// Within `namespace A { ... }`, where `export` means something else.
    inside_namespace: bool,
}

impl Reader<'_> {
    fn report(&mut self, span: Span, message: &str) {
        if self.findings.len() < REFERENCES_MAX {
            self.findings
                .push(Finding { at: self.lines.at(span.start), message: message.to_owned() });
        }
    }

    /// Notes one use of a free name.
    fn note(
        &mut self,
        alias: Alias,
        at: Position,
        arguments: Option<Vec<Argument>>,
        mut guarded: bool,
    ) {
        let (mut root, mut path) = alias;
        while (root == "tools" || root == "globalThis") && !path.is_empty() {
            guarded |= root == "globalThis";
            root = path.remove(0);
            if guarded && self.globals.contains(&root) {
                break;
            }
            // `tools["search"]` is the upstream, not what a program has by that name.
            if !guarded {
                return self.push(Reference { root, path, at, arguments, guarded });
            }
        }
        if root == "arguments" || self.globals.contains(&root) {
            return;
        }
        if let Some(absent) = absent(&root, &path).filter(|_| !guarded) {
            if self.missing.len() < REFERENCES_MAX {
                let instead = match self.importable {
                    Some(_) if root == "require" => "write import x from \"module\"",
                    _ => absent.instead,
                };
                let message = format!("{root} is not available: {instead}");
                self.missing.push((root, Finding { at, message }));
            }
            return;
        }
        self.push(Reference { root, path, at, arguments, guarded });
    }

    fn push(&mut self, reference: Reference) {
        if self.references.len() < REFERENCES_MAX {
            self.references.push(reference);
        }
    }

    fn use_chain(&mut self, chain: &Chain<'_, '_>, arguments: Option<Vec<Argument>>) {
        let at = self.lines.at(chain.root.span.start);
        let arguments = arguments.filter(|_| chain.whole);
        if let Some(alias) = self.names.free(chain.root, &chain.path) {
            self.note(alias, at, arguments, chain.guarded);
        }
    }

    /// `const x = github`, `const { a, b: c } = github`: the names stand for what they are given.
    /// `false`: this is something else.
    fn rename(&mut self, pattern: &BindingPattern<'_>, chain: &Chain<'_, '_>) -> bool {
        let Some(alias) = self.names.free(chain.root, &chain.path).filter(|_| chain.whole) else {
            return false;
        };
        if self.globals.contains(&alias.0) && alias.0 != "tools" && alias.0 != "globalThis" {
            return false;
        }
        match pattern {
            BindingPattern::BindingIdentifier(name) => {
                self.names.give(name, alias.clone());
                let at = self.lines.at(chain.root.span.start);
                self.note(alias, at, None, chain.guarded);
                true
            }
            BindingPattern::ObjectPattern(pattern) if pattern.rest.is_none() => {
                self.take_apart(pattern, &alias, chain.guarded)
            }
            _ => false,
        }
    }

    fn take_apart(&mut self, pattern: &ObjectPattern<'_>, alias: &Alias, guarded: bool) -> bool {
        let keys = pattern.properties.iter().map(|property| literal::key(&property.key));
        let Some(keys) = keys.collect::<Option<Vec<_>>>().filter(|keys| !keys.is_empty()) else {
            return false;
        };
        for (property, key) in pattern.properties.iter().zip(keys) {
            let mut member = alias.clone();
            member.1.push(key);
            let value = match &property.value {
                BindingPattern::AssignmentPattern(value) => &value.left,
                value => value,
            };
            match value {
                BindingPattern::BindingIdentifier(name) => self.names.give(name, member.clone()),
                BindingPattern::ObjectPattern(inner)
                    if inner.rest.is_none() && self.take_apart(inner, &member, guarded) =>
                {
                    continue;
                }
                _ => {}
            }
            let at = self.lines.at(property.key.span().start);
            self.note(member, at, None, guarded);
        }
        true
    }

    /// Notes that a module is imported, where modules are.
    fn import(&mut self, span: Span, module: &str) {
        self.seen.imports = true;
        if let Some(Err(why)) = self.importable.map(|importable| importable(module)) {
            self.report(span, &why);
        }
    }

    /// `declare const github: any` defines nothing.
    fn declared(&mut self, name: &BindingIdentifier<'_>) {
        self.names.give(name, (name.name.to_string(), Vec::new()));
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        let Some(mut chain) = chain(&it.callee) else {
            return walk::walk_call_expression(self, it);
        };
        chain.guarded |= it.optional;
        let arguments = literal::arguments(&it.arguments, self.lines);
        self.use_chain(&chain, Some(arguments));
        if chain.root.name == "Promise" {
            self.seen.races |=
                chain.path.first().is_some_and(|name| name == "race" || name == "any");
        }
        for expression in chain.computed {
            self.visit_expression(expression);
        }
        self.visit_arguments(&it.arguments);
    }

    fn visit_member_expression(&mut self, it: &MemberExpression<'a>) {
        match it {
            MemberExpression::StaticMemberExpression(it) => self.visit_static_member_expression(it),
            MemberExpression::ComputedMemberExpression(it) => {
                self.visit_computed_member_expression(it);
            }
            MemberExpression::PrivateFieldExpression(it) => {
                walk::walk_private_field_expression(self, it);
            }
        }
    }

    fn visit_static_member_expression(&mut self, it: &StaticMemberExpression<'a>) {
        match chain(&it.object) {
            Some(mut chain) => {
                if chain.whole {
                    chain.path.push(it.property.name.to_string());
                }
                chain.guarded |= it.optional;
                self.use_chain(&chain, None);
                for expression in chain.computed {
                    self.visit_expression(expression);
                }
            }
            None => walk::walk_static_member_expression(self, it),
        }
    }

    fn visit_computed_member_expression(&mut self, it: &ComputedMemberExpression<'a>) {
        match chain(&it.object) {
            Some(mut chain) => {
                match literal::name(&it.expression) {
                    Some(name) if chain.whole => chain.path.push(name),
                    _ => self.visit_expression(&it.expression),
                }
                chain.guarded |= it.optional;
                self.use_chain(&chain, None);
                for expression in chain.computed {
                    self.visit_expression(expression);
                }
            }
            None => walk::walk_computed_member_expression(self, it),
        }
    }

    fn visit_identifier_reference(&mut self, it: &IdentifierReference<'a>) {
        if let Some(alias) = self.names.free(it, &[]) {
            self.note(alias, self.lines.at(it.span.start), None, false);
        }
    }

    fn visit_unary_expression(&mut self, it: &UnaryExpression<'a>) {
        match chain(&it.argument).filter(|_| it.operator == UnaryOperator::Typeof) {
            Some(mut chain) => {
                chain.guarded = true;
                if let Some((name, _)) = self.names.free(chain.root, &[]) {
                    self.probed.insert(name);
                }
                self.use_chain(&chain, None);
            }
            None => walk::walk_unary_expression(self, it),
        }
    }

    fn visit_variable_declaration(&mut self, it: &VariableDeclaration<'a>) {
        if it.declare {
            for declarator in &it.declarations {
                if let BindingPattern::BindingIdentifier(name) = &declarator.id {
                    self.declared(name);
                }
            }
            return;
        }
        walk::walk_variable_declaration(self, it);
    }

    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        let chain = it.init.as_ref().and_then(chain);
        if chain.is_some_and(|chain| self.rename(&it.id, &chain)) {
            // Defaults and computed keys are expressions too.
            return self.visit_binding_pattern(&it.id);
        }
        walk::walk_variable_declarator(self, it);
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        match &it.id {
            Some(name) if it.declare => self.declared(name),
            _ => walk::walk_function(self, it, flags),
        }
    }

    fn visit_ts_namespace_declaration(&mut self, it: &TSNamespaceDeclaration<'a>) {
        if it.declare {
            return self.declared(&it.id);
        }
        let outside = std::mem::replace(&mut self.inside_namespace, true);
        walk::walk_ts_namespace_declaration(self, it);
        self.inside_namespace = outside;
    }

    fn visit_module_declaration(&mut self, it: &ModuleDeclaration<'a>) {
        let kind = match it {
            ModuleDeclaration::ImportDeclaration(it) => it.import_kind,
            ModuleDeclaration::ExportNamedDeclaration(it) => it.export_kind,
            ModuleDeclaration::ExportAllDeclaration(it) => it.export_kind,
            ModuleDeclaration::ExportFromDeclaration(it) => it.export_kind,
            _ => ImportOrExportKind::Value,
        };
        if kind == ImportOrExportKind::Type {
            return;
        }
        if self.inside_namespace {
            return walk::walk_module_declaration(self, it);
        }
        if let (ModuleDeclaration::ImportDeclaration(it), Some(_)) = (it, self.importable) {
            return self.import(it.source.span, &it.source.value);
        }
        let message = match it {
            ModuleDeclaration::ImportDeclaration(it) if is_files(&it.source.value) => {
                "import is not available: a run's own files are scratch.write(path, text) and \
                 scratch.read(path)"
            }
            ModuleDeclaration::ImportDeclaration(_) => {
                "import is not available: tools are globals; call them as server.tool({ ... })"
            }
            _ => {
                "export is not available: end with return x, or with the value as the last \
                 expression"
            }
        };
        self.report(it.span(), message);
        walk::walk_module_declaration(self, it);
    }

    fn visit_import_expression(&mut self, it: &ImportExpression<'a>) {
        if self.importable.is_some() {
            match literal::name(&it.source) {
                Some(module) => self.import(it.source.span(), &module),
                None => self.seen.imports = true,
            }
            return walk::walk_import_expression(self, it);
        }
        let message =
            "import() is not available: tools are globals; call them as server.tool({ ... })";
        self.report(it.span, message);
    }

    fn visit_import_meta(&mut self, it: &ImportMeta) {
        self.report(it.span, "import.meta is not available: there are no modules or files here");
    }

    fn visit_decorator(&mut self, it: &Decorator<'a>) {
        self.report(it.span, "decorators are not available: call the function yourself");
    }

    // Types name nothing that runs.
    fn visit_ts_type(&mut self, _: &TSType<'a>) {}
    fn visit_ts_type_annotation(&mut self, _: &TSTypeAnnotation<'a>) {}
    fn visit_ts_type_alias_declaration(&mut self, _: &TSTypeAliasDeclaration<'a>) {}
    fn visit_ts_class_implements(&mut self, _: &TSClassImplements<'a>) {}
    fn visit_ts_interface_declaration(&mut self, _: &TSInterfaceDeclaration<'a>) {}
    fn visit_ts_type_parameter_declaration(&mut self, _: &TSTypeParameterDeclaration<'a>) {}
    fn visit_ts_type_parameter_instantiation(&mut self, _: &TSTypeParameterInstantiation<'a>) {}
}

#[cfg(test)]
#[path = "tests/uses.rs"]
mod tests;

/// A module that elsewhere gives files.
fn is_files(module: &str) -> bool {
    matches!(module.strip_prefix("node:").unwrap_or(module), "fs" | "fs/promises")
}
