//! Standard output and standard error: the only place that writes to them.

use super::args::{Color, Global};
use super::exit::Fail;
use crate::config::Environment;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

/// Where a command's words go.
#[expect(clippy::struct_excessive_bools, reason = "each answers its own question")]
pub(crate) struct Output {
    pub(crate) json: bool,
    quiet: bool,
    color: bool,
    color_err: bool,
}

/// Why the command line was not understood, as JSON, before there is an [`Output`].
pub(crate) fn early(fail: &Fail) {
    // Whoever closed standard output wants no answer.
    drop(writeln!(io::stdout().lock(), "{:#}", fail.json()));
}

/// How a cell or a word looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Warn,
    Bad,
    Dim,
    Strong,
}

impl Output {
    pub(crate) fn new(global: &Global, env: &Environment) -> Self {
        let plain = env.var("NO_COLOR").is_some() || env.raw("TERM") == Some("dumb");
        let decide = |terminal: bool| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !plain,
        };
        Self {
            json: global.json,
            quiet: global.quiet,
            color: decide(io::stdout().is_terminal()),
            color_err: decide(io::stderr().is_terminal()),
        }
    }

    pub(crate) fn color_err(&self) -> bool {
        self.color_err
    }

    /// Text as it is, ended by one line break.
    #[expect(
        clippy::unused_self,
        reason = "whoever writes has been told where, as with every other word"
    )]
    pub(crate) fn text(&self, text: &str) -> Result<(), Fail> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(())
    }

    /// A value as JSON, for programs and for people.
    pub(crate) fn value<T: Serialize>(&self, value: &T) -> Result<(), Fail> {
        let text =
            serde_json::to_string_pretty(value).map_err(|e| Fail::Output(io::Error::other(e)))?;
        self.text(&text)
    }

    /// JSON if that was asked for, else text.
    pub(crate) fn either<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Fail> {
        if self.json { self.value(value) } else { self.text(&text()) }
    }

    /// Something beside the answer, to standard error; nothing with `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            write_err(text);
        }
    }

    /// A warning, to standard error; nothing with `--quiet`.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            let word = tinted("warning:", Tone::Warn, self.color_err);
            write_err(&format!("{word} {text}"));
        }
    }

    /// What went wrong within an answer, to standard error.
    pub(crate) fn error(&self, text: &str) {
        write_err(&tinted(&safe(text), Tone::Bad, self.color_err));
    }

    /// Why the command failed. With `--json` as JSON.
    pub(crate) fn fail(&self, fail: &Fail) {
        if fail.is_silent() {
            return;
        }
        if self.json {
            // The answer's place: whoever parses it finds out there why it is missing.
            drop(self.value(&fail.json()));
            return;
        }
        for line in fail.to_string().lines() {
            write_err(&format!("{} {}", tinted("error:", Tone::Bad, self.color_err), safe(line)));
        }
    }

    pub(crate) fn tint(&self, text: &str, tone: Tone) -> String {
        tinted(text, tone, self.color)
    }

    /// For a note: standard error has colours of its own.
    pub(crate) fn tint_err(&self, text: &str, tone: Tone) -> String {
        tinted(text, tone, self.color_err)
    }

    /// A table as text, without lines.
    pub(crate) fn table(&self, head: &[&str], rows: Vec<Vec<(String, Option<Tone>)>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        if !io::stdout().is_terminal() {
            // A pipe has no width: nothing is wrapped.
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(head.iter().map(|h| Cell::new(h).fg(comfy_table::Color::DarkGrey)));
        for row in rows {
            table.add_row(row.into_iter().map(|(text, tone)| cell(&text, tone)));
        }
        let lines = table.to_string();
        lines.lines().map(|l| l.trim_end().to_owned() + "\n").collect()
    }

    /// Something that turns while a slow thing goes on; invisible off a terminal.
    pub(crate) fn spinner(&self, what: &str) -> ProgressBar {
        if self.quiet || self.json || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    /// Like the rest, but never coloured.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { json: false, quiet: false, color: false, color_err: false }
    }
}

fn write_err(text: &str) {
    let mut err = io::stderr().lock();
    // Nobody can be told that standard error is gone.
    drop(writeln!(err, "{text}"));
}

fn cell(text: &str, tone: Option<Tone>) -> Cell {
    let cell = Cell::new(safe(text));
    match tone {
        Some(Tone::Good) => cell.fg(comfy_table::Color::Green),
        Some(Tone::Warn) => cell.fg(comfy_table::Color::Yellow),
        Some(Tone::Bad) => cell.fg(comfy_table::Color::Red),
        Some(Tone::Dim) => cell.fg(comfy_table::Color::DarkGrey),
        Some(Tone::Strong) => cell.add_attribute(comfy_table::Attribute::Bold),
        None => cell,
    }
}

fn tinted(text: &str, tone: Tone, color: bool) -> String {
    if !color {
        return text.to_owned();
    }
    let style = match tone {
        Tone::Good => Style::new().green(),
        Tone::Warn => Style::new().yellow(),
        Tone::Bad => Style::new().red().bold(),
        Tone::Dim => Style::new().dimmed(),
        Tone::Strong => Style::new().bold(),
    };
    text.style(style).to_string()
}

/// Text of somebody else without what a terminal would obey.
pub(crate) fn safe(text: &str) -> String {
    text.chars()
        .map(|c| {
            let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if (c.is_control() && !matches!(c, '\n' | '\t')) || turns { '\u{fffd}' } else { c }
        })
        .collect()
}
