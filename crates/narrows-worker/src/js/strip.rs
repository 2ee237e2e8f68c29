//! TypeScript to the JavaScript that runs: the body of an async function that returns the
//! program's value.

use super::imports;
use super::place::Lines;
use super::session::INPUT;
use narrows_types::{Finding, Position};
use oxc_allocator::{Allocator, ArenaBox, ArenaVec, TakeIn as _};
use oxc_ast::ast::{Expression, Program, ReturnStatement, Statement};
use oxc_ast::builder::AstBuilder;
use oxc_codegen::{Codegen, CodegenOptions, CodegenReturn, CommentOptions};
use oxc_parser::{ParseOptions, Parser};
use oxc_semantic::{Scoping, SemanticBuilder};
use oxc_span::{GetSpan as _, SPAN, SourceType};
use oxc_syntax::symbol::SymbolFlags;
use oxc_transformer::{TransformOptions, Transformer};
use std::path::{Path, PathBuf};

/// What stands around a program's own text: it moves its lines down by one.
const BEFORE: &str = "(async (";
const BODY: &str = ") => {";
const AFTER: &str = "})";
/// How names begin that are ours where a program has them; its own do not.
const OURS: &str = "$narrows_";
/// What a program is called with whose names are kept.
const KEEP: &str = "$narrows_keep";
/// The name of the program in stack traces; of a later one in the same realm, with its number.
pub(crate) const PROGRAM: &str = "program";
/// Findings beyond these say nothing more to anybody.
pub(super) const FINDINGS_MAX: usize = 50;

/// The errors among the diagnostics of one pass. A macro, because their type has no name here.
macro_rules! errors {
    ($made:expr, $lines:expr) => {
        $made
            .diagnostics
            .errors()
            .take(FINDINGS_MAX)
            .map(|error| {
                let offset = error.labels.first().map(|label| label.offset());
                finding($lines, offset, &error.message, error.help.as_deref())
            })
            .collect::<Vec<Finding>>()
    };
}

/// A program that was parsed.
pub(super) struct Tree<'a> {
    allocator: &'a Allocator,
    /// Its syntax.
    pub(super) program: Program<'a>,
    /// Its names.
    pub(super) scoping: Scoping,
}

/// Parses a program. The text must not nest too deeply.
///
/// # Errors
/// Every syntax error.
pub(super) fn parse<'a>(
    allocator: &'a Allocator,
    code: &'a str,
    lines: &Lines<'_>,
) -> Result<Tree<'a>, Vec<Finding>> {
    let options = ParseOptions {
        allow_return_outside_function: true,
        preserve_parens: false,
        ..ParseOptions::default()
    };
    let kind = SourceType::ts().with_module(true);
    let parsed = Parser::new(allocator, code, kind).with_options(options).parse();
    let findings = errors!(parsed, lines);
    if parsed.panicked || !findings.is_empty() {
        return Err(at_least_one(findings));
    }
    let mut program = parsed.program;
    program.hashbang = None;
    let (scoping, findings) = {
        let built = SemanticBuilder::new_compiler()
            .with_excess_capacity(1.0)
            .with_enum_eval(true)
            .build(&program);
        let findings = errors!(built, lines);
        (built.semantic.into_scoping(), findings)
    };
    if findings.is_empty() { Ok(Tree { allocator, program, scoping }) } else { Err(findings) }
}

impl<'a> Tree<'a> {
    /// The names of variables, functions and classes at the outermost level, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let root = self.scoping.root_scope_id();
        let values = self.scoping.iter_bindings_in(root).filter(|symbol| {
            let flags = self.scoping.symbol_flags(*symbol);
            flags.intersects(SymbolFlags::Value) && !flags.contains(SymbolFlags::Ambient)
        });
        let names = values.map(|symbol| self.scoping.symbol_name(symbol));
        let mut names: Vec<String> =
            names.filter(|name| *name != INPUT).map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// What is said against names at the outermost level that could be ours.
    pub(super) fn taken(&self, lines: &Lines<'_>) -> Vec<Finding> {
        let root = self.scoping.root_scope_id();
        let ours = self.scoping.iter_bindings_in(root).filter_map(|symbol| {
            let name = self.scoping.symbol_name(symbol);
            name.starts_with(OURS).then(|| Finding {
                at: lines.at(self.scoping.symbol_span(symbol).start),
                message: format!("{name} is taken: names that begin with {OURS} are not free"),
            })
        });
        ours.take(FINDINGS_MAX).collect()
    }

    /// The JavaScript: an async function that gives the program's value. It is called with a
    /// function that hears how the names in `kept` are read and written.
    ///
    /// # Errors
    /// What TypeScript has and JavaScript cannot express.
    pub(super) fn into_js(
        self,
        lines: &Lines<'_>,
        kept: &[String],
    ) -> Result<String, Vec<Finding>> {
        let (made, imports) = self.generate(lines, false)?;
        if !kept.is_empty() {
            return Ok([&keeping(kept), &made.code, AFTER].concat());
        }
        let parameters = imports::parameters(imports.is_some());
        let imports = imports.unwrap_or_default();
        Ok([BEFORE, parameters, BODY, &imports, "\n", &made.code, AFTER].concat())
    }

    /// The program's own lines, and what stands for its imports.
    fn generate(
        mut self,
        lines: &Lines<'_>,
        map: bool,
    ) -> Result<(CodegenReturn<'a>, Option<String>), Vec<Finding>> {
        give_value(&mut self.program, self.allocator);
        let options = TransformOptions::default();
        let transformed = Transformer::new(self.allocator, Path::new(PROGRAM), &options)
            .build_with_scoping(self.scoping, &mut self.program);
        let findings = errors!(transformed, lines);
        if !findings.is_empty() {
            return Err(findings);
        }
        // Those of types only are gone by now.
        let imports = imports::take(&mut self.program);
        let options = CodegenOptions {
            comments: CommentOptions::disabled(),
            source_map_path: map.then(|| PathBuf::from(PROGRAM)),
            ..CodegenOptions::default()
        };
        Ok((Codegen::new().with_options(options).build(&self.program), imports))
    }
}

/// The begin of a program that tells how its names are read and written: each with two functions
/// that see the names themselves, so that whatever changes later is seen through them. All in one
/// line, as [`BEFORE`] has it.
fn keeping(names: &[String]) -> String {
    let mut text = format!("(async ({KEEP}) => {{{KEEP}([");
    for name in names {
        text.extend(["\"", name, "\",()=>", name, ",(v)=>{", name, "=v},"]);
    }
    text.push_str("]);\n");
    text
}

/// Where places of the JavaScript (lines from 1, byte columns from 1) are in the program's own
/// text. Made anew from the text: only a program that failed needs it. A place that stands for
/// nothing in the text is left out.
pub(super) fn own_places(code: &str, places: &[(u32, u32)]) -> Vec<Position> {
    let allocator = Allocator::default();
    let lines = Lines::new(code);
    let Ok(tree) = parse(&allocator, code, &lines) else { return Vec::new() };
    let Ok((made, _)) = tree.generate(&lines, true) else { return Vec::new() };
    let Some(map) = made.map else { return Vec::new() };
    let made_lines = Lines::new(&made.code);
    let table = map.generate_lookup_table();
    let own = places.iter().filter_map(|(line, column)| {
        // One line from 1 to 0, one for `BEFORE`.
        let line = line.checked_sub(2)?;
        let column = made_lines.utf16(line, column.saturating_sub(1));
        let token = map.lookup_token_approx(&table, line, column)?;
        token.get_source_id()?;
        Some(lines.at_utf16(token.get_src_line(), token.get_src_col()))
    });
    own.collect()
}

fn finding(lines: &Lines<'_>, offset: Option<u32>, text: &str, help: Option<&str>) -> Finding {
    let mut message = String::from("syntax error: ");
    let mut rest = text.chars();
    message.extend(rest.next().into_iter().flat_map(char::to_lowercase));
    message.extend(rest);
    if let Some(help) = help {
        message.push_str("; ");
        message.push_str(help);
    }
    Finding { at: lines.at(offset.unwrap_or(0)), message: message.replace('\n', " ") }
}

fn at_least_one(mut findings: Vec<Finding>) -> Vec<Finding> {
    if findings.is_empty() {
        let at = Position { line: 1, column: 1 };
        findings.push(Finding { at, message: "syntax error: this is no program".to_owned() });
    }
    findings
}

/// Makes the value of the last statement the program's value.
fn give_value<'a>(program: &mut Program<'a>, allocator: &'a Allocator) {
    let builder = AstBuilder::new(allocator);
    if let [Statement::ExpressionStatement(only)] = program.body.as_mut_slice() {
        let function = match &only.expression {
            Expression::ArrowFunctionExpression(arrow) => arrow.params.items.is_empty(),
            Expression::FunctionExpression(function) => function.params.items.is_empty(),
            _ => false,
        };
        // A program that is nothing but a function means that function's result.
        if function {
            let callee = only.expression.take_in(&builder);
            let none = ArenaVec::new_in(&builder);
            only.expression =
                Expression::new_call_expression(callee.span(), callee, None, none, false, &builder);
        }
    }
    // A program that is nothing but a text parses as a directive.
    if program.body.is_empty()
        && let Some(directive) = program.directives.pop()
    {
        let text = directive.expression;
        let text = Expression::StringLiteral(ArenaBox::new_in(text, &builder));
        program.body.push(returning(text, &builder));
    }
    if let Some(last) = program.body.last_mut() {
        give_value_of(last, &builder);
    }
}

fn give_value_of<'a>(statement: &mut Statement<'a>, builder: &AstBuilder<'a>) {
    match statement {
        Statement::ExpressionStatement(last) => {
            let value = last.expression.take_in(builder);
            *statement = returning(value, builder);
        }
        Statement::BlockStatement(block) => give_value_of_last(&mut block.body, builder),
        Statement::IfStatement(branch) => {
            give_value_of(&mut branch.consequent, builder);
            if let Some(alternate) = &mut branch.alternate {
                give_value_of(alternate, builder);
            }
        }
        Statement::TryStatement(attempt) => {
            give_value_of_last(&mut attempt.block.body, builder);
            if let Some(handler) = &mut attempt.handler {
                give_value_of_last(&mut handler.body.body, builder);
            }
        }
        _ => {}
    }
}

fn give_value_of_last<'a>(body: &mut ArenaVec<'a, Statement<'a>>, builder: &AstBuilder<'a>) {
    if let Some(last) = body.last_mut() {
        give_value_of(last, builder);
    }
}

fn returning<'a>(value: Expression<'a>, builder: &AstBuilder<'a>) -> Statement<'a> {
    let span = value.span();
    let span = if span.is_empty() { SPAN } else { span };
    Statement::ReturnStatement(ReturnStatement::boxed(span, Some(value), builder))
}
