//! The clients whose config files are read (`import`) and written (`install`).
//!
//! Paths and key names are those of the clients' own documents, checked against npm
//! `@gleanwork/mcp-config-schema` 5.2.0.

mod backup;
pub(crate) mod dialect;
mod edit;
mod edit_json;
mod edit_yaml;
pub(crate) mod install;
#[cfg(test)]
mod tests;

pub(crate) use backup::write_atomically;
pub(crate) use edit_json::{put as put_json, remove as remove_json};

use crate::config::Environment;
use crate::config::formats::Format;
use dialect::Dialect;
use std::path::PathBuf;

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    /// How it is named on the command line.
    pub(crate) id: &'static str,
    /// How it names itself.
    pub(crate) name: &'static str,
    /// How its file is built.
    pub(crate) dialect: Dialect,
    /// Its file for all projects of a user.
    user: Spot,
    /// Its file in a project.
    project: Option<&'static str>,
    /// What a user does after the entry was written.
    pub(crate) after: &'static str,
}

/// Where a user's file lies.
#[derive(Debug, Clone, Copy)]
enum Spot {
    /// Under the home folder.
    Home(&'static str),
    /// Under `$XDG_CONFIG_HOME`, also on macOS.
    Config(&'static str),
    /// Under the folder for desktop applications.
    App(&'static str),
    /// Nowhere: the text is pasted into a dialog.
    Dialog,
}

/// Where the file of a client counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// For every project of the user.
    User,
    /// For the current folder.
    Project,
}

const RESTART: &str = "restart it";

const fn client(
    id: &'static str,
    name: &'static str,
    dialect: Dialect,
    user: Spot,
    project: Option<&'static str>,
) -> Client {
    Client { id, name, dialect, user, project, after: RESTART }
}

/// Every client that is known.
pub(crate) static CLIENTS: [Client; 21] = [
    Client {
        after: "start a new session, or type /mcp in one",
        ..client(
            "claude-code",
            "Claude Code",
            Dialect::TypedServers,
            Spot::Home(".claude.json"),
            Some(".mcp.json"),
        )
    },
    client(
        "claude-desktop",
        "Claude Desktop",
        Dialect::Servers,
        Spot::App("Claude/claude_desktop_config.json"),
        None,
    ),
    Client {
        after: "open Settings, MCP, and switch it on",
        ..client(
            "cursor",
            "Cursor",
            Dialect::TypedServers,
            Spot::Home(".cursor/mcp.json"),
            Some(".cursor/mcp.json"),
        )
    },
    Client {
        after: "run the command \"MCP: List Servers\" and start it",
        ..client(
            "vscode",
            "VS Code",
            Dialect::VsCode,
            Spot::App("Code/User/mcp.json"),
            Some(".vscode/mcp.json"),
        )
    },
    client(
        "windsurf",
        "Windsurf",
        Dialect::Servers,
        Spot::Home(".codeium/windsurf/mcp_config.json"),
        None,
    ),
    client(
        "gemini",
        "Gemini CLI",
        Dialect::Servers,
        Spot::Home(".gemini/settings.json"),
        Some(".gemini/settings.json"),
    ),
    client(
        "codex",
        "Codex",
        Dialect::Codex,
        Spot::Home(".codex/config.toml"),
        Some(".codex/config.toml"),
    ),
    client("goose", "Goose", Dialect::Goose, Spot::Config("goose/config.yaml"), None),
    client(
        "opencode",
        "OpenCode",
        Dialect::OpenCode,
        Spot::Config("opencode/opencode.json"),
        Some("opencode.json"),
    ),
    client(
        "zed",
        "Zed",
        Dialect::Zed,
        Spot::Config("zed/settings.json"),
        Some(".zed/settings.json"),
    ),
    client(
        "cline",
        "Cline",
        Dialect::Servers,
        Spot::App(
            "Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
        ),
        None,
    ),
    client(
        "roo",
        "Roo Code",
        Dialect::Servers,
        Spot::App("Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json"),
        Some(".roo/mcp.json"),
    ),
    client("continue", "Continue", Dialect::Continue, Spot::Home(".continue/config.yaml"), None),
    client(
        "antigravity",
        "Antigravity",
        Dialect::Servers,
        Spot::Home(".gemini/antigravity/mcp_config.json"),
        None,
    ),
    client(
        "antigravity-cli",
        "Antigravity CLI",
        Dialect::Servers,
        Spot::Home(".gemini/config/mcp_config.json"),
        None,
    ),
    client(
        "junie",
        "Junie",
        Dialect::Servers,
        Spot::Home(".junie/mcp/mcp.json"),
        Some(".junie/mcp/mcp.json"),
    ),
    client(
        "kiro",
        "Kiro",
        Dialect::Servers,
        Spot::Home(".kiro/settings/mcp.json"),
        Some(".kiro/settings/mcp.json"),
    ),
    client("lmstudio", "LM Studio", Dialect::Servers, Spot::Home(".lmstudio/mcp.json"), None),
    client(
        "amazonq",
        "Amazon Q",
        Dialect::Servers,
        Spot::Home(".aws/amazonq/mcp.json"),
        Some(".amazonq/mcp.json"),
    ),
    client("amp", "Amp", Dialect::Amp, Spot::Config("amp/settings.json"), None),
    Client {
        after: "paste it into Settings, Tools, AI Assistant, Model Context Protocol, Add, As JSON",
        ..client("jetbrains", "JetBrains AI Assistant", Dialect::Servers, Spot::Dialog, None)
    },
];

impl Client {
    /// The client of this name.
    pub(crate) fn find(id: &str) -> Option<&'static Self> {
        CLIENTS.iter().find(|c| c.id == id)
    }

    /// Its file; `None` where it has none of that reach.
    pub(crate) fn file(&self, reach: Reach, env: &Environment) -> Option<PathBuf> {
        if reach == Reach::Project {
            return self.project.map(|path| env.cwd.join(path));
        }
        let path = match self.user {
            Spot::Home(path) => env.home().join(path),
            Spot::Config(path) => env.config_home().join(path),
            Spot::App(path) => env.app_support().join(path),
            Spot::Dialog => return None,
        };
        // OpenCode and Zed also read files with the extension that admits comments.
        let commented = path.with_extension("jsonc");
        Some(if !path.exists() && commented.exists() { commented } else { path })
    }

    /// The format of its file.
    pub(crate) fn format(&self) -> Format {
        match self.dialect {
            Dialect::Codex => Format::Toml,
            Dialect::Goose | Dialect::Continue => Format::Yaml,
            _ => Format::Json,
        }
    }

    /// Every file of it that may exist.
    pub(crate) fn files(&self, env: &Environment) -> Vec<PathBuf> {
        let reaches = [Reach::User, Reach::Project];
        let mut files: Vec<PathBuf> = Vec::new();
        for file in reaches.into_iter().filter_map(|reach| self.file(reach, env)) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files
    }
}
