//! What Python has, Monty lacks and models write all the time: rewritten to what Monty has.

use ruff_python_ast::{Expr, ExprCall, Keyword};
use ruff_text_size::{Ranged, TextRange};

use super::path::path_of;
use super::reader::Reader;
use super::source::Edit;

/// `asyncio.gather(..., return_exceptions=True)`.
const GATHER: &str = "\
import asyncio
async def \u{1c1}one(f):
    try:
        return (await asyncio.gather(f))[0]
    except Exception as e:
        return e
def \u{1c1}gather(*fs):
    return asyncio.gather(*[\u{1c1}one(f) for f in fs])";

/// `json.dumps(..., default=f)`.
const DUMPS: &str = "\
import json
def \u{1c1}plain(v, f):
    if v is None or isinstance(v, (str, int, float)):
        return v
    if isinstance(v, dict):
        return {k: \u{1c1}plain(x, f) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [\u{1c1}plain(x, f) for x in v]
    return \u{1c1}plain(f(v), f)
def \u{1c1}dumps(v, default, **more):
    return json.dumps(\u{1c1}plain(v, default), **more)";

/// `re.sub(pattern, function, text)`.
const SUB: &str = "\
import re
def \u{1c1}sub(pattern, function, text, count=0, flags=0):
    out, at, done = [], 0, 0
    for m in re.finditer(pattern, text, flags):
        if count and done >= count:
            break
        out.append(text[at:m.start()])
        out.append(function(m))
        at, done = m.end(), done + 1
    return ''.join(out) + text[at:]";

/// `datetime.fromtimestamp(seconds, zone)`; the program's clock is in UTC.
const FROMTIMESTAMP: &str = "\
import datetime as \u{1c1}datetime
def \u{1c1}fromtimestamp(t, tz=None):
    if tz is not None and tz != \u{1c1}datetime.timezone.utc:
        raise ValueError('only timezone.utc is available here')
    start = \u{1c1}datetime.datetime(1970, 1, 1, tzinfo=tz)
    return start + \u{1c1}datetime.timedelta(seconds=t)";

impl<'a> Reader<'a> {
    /// Rewrites a call that goes to no tool.
    pub(super) fn idiom(&mut self, call: &'a ExprCall) {
        match call.func.as_ref() {
            Expr::Attribute(attribute) => {
                let of = self.lines.text(attribute.value.range());
                match attribute.attr.as_str() {
                    "gather" if of == "asyncio" => self.gather(call),
                    "dumps" if of == "json" && keyword(call, "default").is_some() => {
                        self.instead(call.func.range(), "\u{1c1}dumps", DUMPS);
                    }
                    "sub" if of == "re" && self.is_function(call.arguments.args.get(1)) => {
                        self.instead(call.func.range(), "\u{1c1}sub", SUB);
                    }
                    "utcnow" if call.arguments.is_empty() => {
                        let (range, text) = (attribute.attr.range, "now".to_owned());
                        self.edits.push(Edit { range, text });
                    }
                    "fromtimestamp" | "utcfromtimestamp" if of.ends_with("datetime") => {
                        self.instead(call.func.range(), "\u{1c1}fromtimestamp", FROMTIMESTAMP);
                    }
                    _ => {}
                }
            }
            Expr::Name(name) if name.id.as_str() == "gather" => self.gather(call),
            Expr::Name(name) if name.id.as_str() == "next" && !self.scopes.defines("next") => {
                // Monty's generators are lists.
                if let Some(Expr::Generator(items)) = call.arguments.args.first() {
                    let last = items.generators.last().map_or(items.elt.end(), Ranged::end);
                    let (start, end) = if items.parenthesized {
                        (items.start(), items.end())
                    } else {
                        (items.elt.start(), last)
                    };
                    self.around(start.into(), end.into(), ("iter(", ")"));
                }
            }
            _ => {}
        }
    }

    fn gather(&mut self, call: &ExprCall) {
        let Some(keyword) = keyword(call, "return_exceptions") else { return };
        let Expr::BooleanLiteral(wanted) = &keyword.value else { return };
        if wanted.value {
            self.instead(call.func.range(), "\u{1c1}gather", GATHER);
        }
        self.edits.push(Edit { range: keyword.range(), text: "*[]".to_owned() });
    }

    fn is_function(&self, expr: Option<&Expr>) -> bool {
        match expr {
            Some(Expr::Lambda(_)) => true,
            Some(Expr::Name(name)) => self.flow.defines(name.id.as_str()),
            _ => false,
        }
    }

    /// Calls a function of this house's instead.
    fn instead(&mut self, range: TextRange, name: &str, definition: &'static str) {
        if !self.lines.text(range).contains('\n') {
            self.helpers.insert(definition);
            self.edits.push(Edit { range, text: name.to_owned() });
        }
    }

    fn around(&mut self, start: u32, end: u32, (before, after): (&str, &str)) {
        for (place, text) in [(start, before), (end, after)] {
            let range = TextRange::empty(place.into());
            self.edits.push(Edit { range, text: text.to_owned() });
        }
    }

    /// A program's value that is a view of something else is given as a list.
    pub(super) fn listed(&mut self, value: &'a Expr) {
        match value {
            _ if self.probe.is_complete() => {}
            Expr::Dict(dict) => dict.items.iter().for_each(|item| self.listed(&item.value)),
            Expr::List(list) => list.elts.iter().for_each(|item| self.listed(item)),
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|item| self.listed(item)),
            Expr::Call(call) if self.gives_view(call) => {
                self.around(value.start().into(), value.end().into(), ("list(", ")"));
            }
            _ => {}
        }
    }

    fn gives_view(&self, call: &ExprCall) -> bool {
        match call.func.as_ref() {
            Expr::Name(name) => name.id.as_str() == "range" && !self.scopes.defines("range"),
            Expr::Attribute(method) => {
                let own = path_of(&call.func, self.lines)
                    .is_none_or(|(root, ..)| self.scopes.defines(root.id.as_str()));
                let view = matches!(method.attr.as_str(), "keys" | "values" | "items");
                own && view && call.arguments.is_empty()
            }
            _ => false,
        }
    }
}

fn keyword<'k>(call: &'k ExprCall, name: &str) -> Option<&'k Keyword> {
    let is = |keyword: &&Keyword| keyword.arg.as_ref().is_some_and(|arg| arg.as_str() == name);
    call.arguments.keywords.iter().find(is)
}
