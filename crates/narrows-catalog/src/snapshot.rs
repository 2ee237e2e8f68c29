//! The snapshot: upstreams and their tools, named, and found by name.

use crate::check::{self, Checked, Contract, Parameters};
use crate::exposure::Exposure;
use crate::naming::{Place, identifiers};
use crate::observe::{Observations, Shape};
use crate::search::Doc;
use crate::{raw, typing};
use narrows_types::{Fault, Language, ServerListing, ToolSpec, Uses, nearest};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Everything known of every tool at one moment. Cheap to clone, never changes.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    servers: Vec<Arc<Server>>,
    /// By identifier and by original name.
    by_name: HashMap<String, usize>,
}

/// One upstream.
pub struct Server {
    /// Its configured name.
    pub name: String,
    /// Its name in programs.
    pub ident: String,
    /// What it tells models (untrusted).
    pub instructions: Option<String>,
    /// Its tools in the order listed.
    pub tools: Vec<Tool>,
    /// How long a client may keep its list, if it says.
    pub ttl_ms: Option<u64>,
    /// Its list is for one client only.
    pub private: Option<bool>,
    by_name: HashMap<String, usize>,
}

/// One tool.
pub struct Tool {
    /// As listed, but for a description that the config replaces.
    pub spec: Arc<ToolSpec>,
    /// As listed.
    listed: Arc<ToolSpec>,
    /// Its name for agents, within its upstream: the listed one, or what the config says.
    pub name: String,
    /// The `ui://` resource that shows its results (MCP Apps).
    pub ui: Option<String>,
    /// Calls since they were last counted.
    calls: Arc<AtomicU64>,
    /// Its name in programs.
    pub ident: String,
    /// What its results looked like, where it declares no schema.
    pub(crate) observed: Option<Arc<Shape>>,
    /// Its arguments, read and compiled.
    pub(crate) contract: Arc<Contract>,
}

/// One tool with its upstream.
#[derive(Clone, Copy)]
pub struct ToolRef<'a> {
    /// The upstream.
    pub server: &'a Server,
    /// The tool.
    pub tool: &'a Tool,
}

impl Tool {
    /// Notes a call.
    pub fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the calls that were noted since the last time.
    pub fn take_calls(&self) -> u64 {
        self.calls.swap(0, Ordering::Relaxed)
    }
}

impl<'a> ToolRef<'a> {
    /// What search indexes of it.
    pub fn doc(self) -> Doc<'a> {
        let spec: &'a ToolSpec = &self.tool.spec;
        Doc {
            server: &self.server.name,
            name: &self.tool.name,
            title: spec.title.as_deref(),
            description: spec.description.as_deref(),
            input_schema: &spec.input_schema,
        }
    }

    /// Whether a result of this shape teaches nothing of the tool.
    pub fn knows(self, result: &Shape) -> bool {
        let seen = self.tool.observed.as_ref();
        self.tool.spec.output_schema.is_some() || seen.is_some_and(|seen| seen.covers(result))
    }

    /// Its parameters, read once.
    pub(crate) fn parameters(self) -> &'a Parameters {
        self.tool.contract.parameters(&self.tool.spec.input_schema)
    }

    /// How a program calls it: `github.list_issues`.
    pub fn call(self) -> String {
        format!("{}.{}", self.server.ident, self.tool.ident)
    }
}

impl Server {
    /// The listing that it was built from.
    pub fn listing(&self) -> ServerListing {
        ServerListing {
            server: self.name.clone(),
            instructions: self.instructions.clone(),
            tools: self.tools.iter().map(|t| Arc::clone(&t.spec)).collect(),
            ttl_ms: self.ttl_ms,
            private: self.private,
        }
    }

    /// The tool of that identifier or name.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.by_name.get(name).and_then(|at| self.tools.get(*at))
    }
}

impl Catalog {
    /// Builds the snapshot. A second tool of the same name in one upstream is left out.
    pub fn build(listings: Vec<ServerListing>, observed: &Observations) -> Self {
        Self::make(None, listings, observed, &Exposure::default())
    }

    /// The same with names and descriptions as the config says.
    pub fn exposed(
        listings: Vec<ServerListing>,
        observed: &Observations,
        exposure: &Exposure,
    ) -> Self {
        Self::make(None, listings, observed, exposure)
    }

    /// Builds the snapshot that follows this one, and keeps what was read and compiled of tools
    /// whose schema is still the same.
    #[must_use]
    pub fn rebuild(
        &self,
        listings: Vec<ServerListing>,
        observed: &Observations,
        exposure: &Exposure,
    ) -> Self {
        Self::make(Some(self), listings, observed, exposure)
    }

    /// Whether both have the same tools in the same order: then one search index serves both.
    pub fn lists_as(&self, other: &Self) -> bool {
        let same = |(a, b): (ToolRef<'_>, ToolRef<'_>)| {
            a.server.name == b.server.name
                && a.tool.name == b.tool.name
                && Arc::ptr_eq(&a.tool.spec, &b.tool.spec)
        };
        self.tools().count() == other.tools().count() && self.tools().zip(other.tools()).all(same)
    }

    fn make(
        before: Option<&Self>,
        listings: Vec<ServerListing>,
        observed: &Observations,
        exposure: &Exposure,
    ) -> Self {
        let names: Vec<&str> = listings.iter().map(|l| l.server.as_str()).collect();
        let idents = identifiers(&names, Place::Namespace);
        let mut servers: Vec<Arc<Server>> = Vec::with_capacity(listings.len());
        for (listing, ident) in listings.into_iter().zip(idents) {
            let known = before.and_then(|b| b.servers().find(|s| s.name == listing.server));
            servers.push(Arc::new(server(listing, ident, (observed, exposure), known)));
        }
        Self::of(servers)
    }

    /// The part of it that these upstreams are, by their configured names.
    #[must_use]
    pub fn confined(&self, names: &[String]) -> Self {
        let within = self.inner.servers.iter().filter(|server| names.contains(&server.name));
        Self::of(within.cloned().collect())
    }

    /// This, and one more upstream, unless one of that name is there.
    #[must_use]
    pub fn with(&self, listing: ServerListing) -> Self {
        if self.inner.by_name.contains_key(&listing.server) {
            return self.clone();
        }
        let ident = listing.server.clone();
        let (observed, exposure) = (Observations::default(), Exposure::default());
        let more = server(listing, ident, (&observed, &exposure), None);
        let mut servers = self.inner.servers.clone();
        servers.push(Arc::new(more));
        Self::of(servers)
    }

    fn of(servers: Vec<Arc<Server>>) -> Self {
        let mut by_name = HashMap::new();
        for (at, server) in servers.iter().enumerate() {
            by_name.insert(server.ident.clone(), at);
        }
        for (at, server) in servers.iter().enumerate() {
            by_name.entry(server.name.clone()).or_insert(at);
        }
        Self { inner: Arc::new(Inner { servers, by_name }) }
    }

    /// Every upstream, in the order configured.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.inner.servers.iter().map(|server| &**server)
    }

    pub(crate) fn server_at(&self, at: usize) -> Option<&Server> {
        self.inner.servers.get(at).map(|server| &**server)
    }

    /// Every tool. The order is the numbering of the search index.
    pub fn tools(&self) -> impl Iterator<Item = ToolRef<'_>> {
        self.servers()
            .flat_map(|server| server.tools.iter().map(move |tool| ToolRef { server, tool }))
    }

    /// The upstream of that identifier or name, or a fault with the nearest names.
    pub fn server(&self, name: &str) -> Result<&Server, Fault> {
        self.find_server(name).ok_or_else(|| {
            let near = self.nearest_servers(name);
            let fault = Fault::not_found(format!("unknown server {}", short(name)));
            if near.is_empty() {
                fault.hint(format!("servers: {}", self.server_names()))
            } else {
                fault.hint(format!("did you mean {}?", near.join(" or ")))
            }
        })
    }

    pub(crate) fn find_server(&self, name: &str) -> Option<&Server> {
        self.inner.by_name.get(name).and_then(|at| self.server_at(*at))
    }

    pub(crate) fn nearest_servers(&self, name: &str) -> Vec<&str> {
        nearest(name, self.servers().map(|s| s.ident.as_str()), 3)
    }

    pub(crate) fn server_names(&self) -> String {
        let mut names: Vec<&str> = self.servers().map(|s| s.ident.as_str()).collect();
        let total = names.len();
        names.truncate(12);
        let more = if total > 12 { format!(" and {} more", total - 12) } else { String::new() };
        if names.is_empty() { "none are connected".to_owned() } else { names.join(", ") + &more }
    }

    /// The tool of these identifiers or names, or a fault with the nearest.
    pub fn resolve(&self, server: &str, tool: &str) -> Result<ToolRef<'_>, Fault> {
        let server = self.server(server)?;
        if let Some(found) = server.tool(tool) {
            return Ok(ToolRef { server, tool: found });
        }
        let fault = Fault::not_found(format!("unknown tool {}.{}", server.ident, short(tool)));
        Err(match self.nearest_tools(server, tool) {
            near if near.is_empty() => {
                fault.hint(format!("search(\"...\", server {})", server.ident))
            }
            near => fault.hint(format!("did you mean {}?", near.join(" or "))),
        })
    }

    pub(crate) fn nearest_tools(&self, server: &Server, tool: &str) -> Vec<String> {
        nearest(tool, server.tools.iter().map(|t| t.ident.as_str()), 2)
            .into_iter()
            .filter_map(|ident| server.tool(ident))
            .map(|found| {
                let tool = ToolRef { server, tool: found };
                format!("{}{}", tool.call(), self.brief(tool))
            })
            .collect()
    }

    /// The parameters in brief: `(owner, repo, state?)`.
    pub fn brief(&self, tool: ToolRef<'_>) -> String {
        typing::brief(&tool.parameters().fields)
    }

    /// One line: how the tool is called and what it gives.
    pub fn signature(&self, tool: ToolRef<'_>, language: Language) -> String {
        typing::signature(tool, language)
    }

    /// Declarations of everything, `.d.ts` or `.pyi`.
    pub fn typings(&self, language: Language) -> String {
        typing::whole(self, language)
    }

    /// Compares what a program refers to with what there is.
    pub fn check(&self, uses: &Uses, language: Language) -> Checked {
        check::check(self, uses, language)
    }

    /// Checks the arguments of a call against the tool's schema.
    pub fn validate(&self, tool: ToolRef<'_>, arguments: &RawValue) -> Result<(), Fault> {
        check::validate(self, tool, arguments)
    }
}

fn server(
    listing: ServerListing,
    ident: String,
    (observed, exposure): (&Observations, &Exposure),
    known: Option<&Server>,
) -> Server {
    let name = |spec: &ToolSpec| {
        let said = exposure.tool(&listing.server, &spec.name).and_then(|said| said.name.clone());
        said.unwrap_or_else(|| spec.name.clone())
    };
    let names: Vec<String> = listing.tools.iter().map(|spec| name(spec)).collect();
    let plain: Vec<&str> = names.iter().map(String::as_str).collect();
    let idents = identifiers(&plain, Place::Member);
    let mut tools: Vec<Tool> = Vec::with_capacity(listing.tools.len());
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for ((listed, name), ident) in listing.tools.iter().zip(names).zip(idents) {
        if by_name.contains_key(&ident) {
            continue;
        }
        by_name.insert(ident.clone(), tools.len());
        let seen = if listed.output_schema.is_none() {
            observed.get(&listing.server, &listed.name).cloned()
        } else {
            None
        };
        let before = known.and_then(|known| known.tool(&ident));
        let said = exposure.tool(&listing.server, &listed.name);
        let spec = described(listed, said.and_then(|s| s.description.as_deref()), before);
        tools.push(Tool {
            contract: contract(&spec, before),
            calls: before.map(|before| Arc::clone(&before.calls)).unwrap_or_default(),
            ui: listed.definition.as_deref().and_then(raw::ui),
            listed: Arc::clone(listed),
            spec,
            name,
            ident,
            observed: seen,
        });
    }
    // Identifiers first, then the names that agents see, then those on the wire.
    for (at, tool) in tools.iter().enumerate() {
        by_name.entry(tool.name.clone()).or_insert(at);
    }
    for (at, tool) in tools.iter().enumerate() {
        by_name.entry(tool.spec.name.clone()).or_insert(at);
    }
    let ServerListing { server: name, instructions, ttl_ms, private, .. } = listing;
    Server { name, ident, instructions, tools, ttl_ms, private, by_name }
}

/// The tool with the config's description, the one of before where nothing changed.
fn described(
    listed: &Arc<ToolSpec>,
    description: Option<&str>,
    before: Option<&Tool>,
) -> Arc<ToolSpec> {
    let Some(description) = description else { return Arc::clone(listed) };
    if let Some(before) = before
        && Arc::ptr_eq(&before.listed, listed)
        && before.spec.description.as_deref() == Some(description)
    {
        return Arc::clone(&before.spec);
    }
    let mut spec = ToolSpec::clone(listed);
    spec.description = Some(description.to_owned());
    if let Some(definition) = spec.definition.take() {
        spec.definition =
            Some(raw::replaced(&definition, "description", description).unwrap_or(definition));
    }
    Arc::new(spec)
}

/// What is known of a tool's arguments already, if its schema is the one of before.
fn contract(spec: &Arc<ToolSpec>, before: Option<&Tool>) -> Arc<Contract> {
    let same =
        |old: &&Tool| Arc::ptr_eq(&old.spec, spec) || old.spec.input_schema == spec.input_schema;
    before.filter(same).map(|old| Arc::clone(&old.contract)).unwrap_or_default()
}

/// What somebody wrote, short enough to be repeated.
pub(crate) fn short(name: &str) -> String {
    narrows_types::fault::clip(name.to_owned(), 80)
}
