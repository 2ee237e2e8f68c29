//! The names under which agents see what upstreams call otherwise.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// What the config says of how upstreams and their tools are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// Between an upstream's prefix and a name.
    pub separator: String,
    /// By the upstream's configured name.
    pub servers: BTreeMap<String, ServerExposure>,
}

impl Default for Exposure {
    fn default() -> Self {
        Self { separator: ".".to_owned(), servers: BTreeMap::new() }
    }
}

/// What stands before the names of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Prefix {
    /// The upstream's own name.
    #[default]
    Server,
    /// Another text.
    Text(String),
    /// Nothing.
    Off,
}

/// How one upstream is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerExposure {
    /// Before the names of its tools and prompts.
    pub prefix: Prefix,
    /// By the tool's name on the wire.
    pub tools: BTreeMap<String, ToolExposure>,
}

/// How one tool is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolExposure {
    /// Under this name.
    pub name: Option<String>,
    /// With this description.
    pub description: Option<String>,
    /// Listed in hybrid mode.
    pub pin: bool,
}

/// Names, one for each thing in the order given.
#[derive(Debug, Default)]
pub struct Named {
    /// The names: unique.
    pub names: Vec<Arc<str>>,
    /// Each thing that got another name than it should have, with why.
    pub collisions: Vec<String>,
}

impl Exposure {
    /// What is said of a tool.
    pub fn tool(&self, server: &str, tool: &str) -> Option<&ToolExposure> {
        self.servers.get(server)?.tools.get(tool)
    }

    /// The name that a thing of an upstream should have.
    pub fn name(&self, server: &str, name: &str) -> String {
        match self.servers.get(server).map(|said| &said.prefix) {
            None | Some(Prefix::Server) => format!("{server}{}{name}", self.separator),
            Some(Prefix::Text(prefix)) => format!("{prefix}{}{name}", self.separator),
            Some(Prefix::Off) => name.to_owned(),
        }
    }

    /// Gives each `(upstream, name)` a name of its own. Of several that should have the same, the
    /// first keeps it; a later one gets its upstream's name before it, then a number.
    pub fn assign<'a>(
        &self,
        things: impl Iterator<Item = (&'a str, &'a str)>,
        reserved: &[&str],
    ) -> Named {
        let mut used: HashSet<Arc<str>> = reserved.iter().map(|name| Arc::from(*name)).collect();
        let mut named = Named::default();
        for (server, own) in things {
            let wanted: Arc<str> = self.name(server, own).into();
            let name = if used.contains(&wanted) {
                let name = self.free(server, own, &used);
                named.collisions.push(format!(
                    "{server}: the name {wanted} is taken, so its {own} is called {name}"
                ));
                name
            } else {
                wanted
            };
            used.insert(Arc::clone(&name));
            named.names.push(name);
        }
        named
    }

    fn free(&self, server: &str, own: &str, used: &HashSet<Arc<str>>) -> Arc<str> {
        let full = format!("{server}{}{own}", self.separator);
        let mut name: Arc<str> = full.as_str().into();
        let mut number = 2_u32;
        while used.contains(&name) {
            name = format!("{full}_{number}").into();
            number += 1;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::{Exposure, Prefix, ServerExposure};

    fn exposure(prefixes: &[(&str, Prefix)]) -> Exposure {
        let one = |(name, prefix): &(&str, Prefix)| {
            let said = ServerExposure { prefix: prefix.clone(), ..ServerExposure::default() };
            ((*name).to_owned(), said)
        };
        Exposure { servers: prefixes.iter().map(one).collect(), ..Exposure::default() }
    }

    fn names(exposure: &Exposure, things: &[(&str, &str)], reserved: &[&str]) -> Vec<String> {
        let named = exposure.assign(things.iter().copied(), reserved);
        named.names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_has_the_prefix_of_its_upstream() {
        let said = exposure(&[("b", Prefix::Text("bee".to_owned())), ("c", Prefix::Off)]);
        let things = [("a", "x"), ("b", "x"), ("c", "x")];
        assert_eq!(names(&said, &things, &[]), ["a.x", "bee.x", "x"]);
    }

    #[test]
    fn of_equal_names_the_first_stays_and_the_others_are_told() {
        let off = |name| (name, Prefix::Off);
        let said = exposure(&[off("a"), off("b"), off("c")]);
        let things = [("a", "x"), ("b", "x"), ("c", "b.x"), ("c", "run")];
        let named = said.assign(things.into_iter(), &["run"]);
        let names: Vec<&str> = named.names.iter().map(|n| &**n).collect();
        assert_eq!(names, ["x", "b.x", "c.b.x", "c.run"]);
        assert_eq!(named.collisions.len(), 3);
        assert_eq!(named.collisions[0], "b: the name x is taken, so its x is called b.x");
    }

    #[test]
    fn every_name_is_unique_whatever_the_prefixes() {
        let same = |name| (name, Prefix::Text("p".to_owned()));
        let said = exposure(&[same("a"), same("b")]);
        let things = [("a", "x"), ("b", "x"), ("a", "x"), ("b", "x")];
        assert_eq!(names(&said, &things, &[]), ["p.x", "b.x", "a.x", "b.x_2"]);
    }
}
