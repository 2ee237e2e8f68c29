//! What names mean while a program runs: the prelude, the namespaces and their tools.

use monty_types::{
    DictPairs, MontyClassInstance, MontyClassType, MontyObject, MontyUuid, NameLookupResult,
};

use std::collections::HashSet;

use super::own::{self, Own};
use super::scratch;
use super::source::{MARK, Site};

/// Bytes of one name of a server's or a tool's; no name is longer.
pub(super) const NAME_BYTES_MAX: usize = 512;

/// Namespaces that a program may reach through computed names.
const NAMESPACES_MAX: usize = 1_000;

/// The namespaces that are ours unless there is a server of that name.
const SESSION: &str = "session";
const SCRATCH: &str = "scratch";

/// What a call from the program goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A tool; `wait` gives the result at once, else a future.
    Tool { server: String, tool: String, wait: bool },
    /// What Narrows answers itself.
    Own { own: &'static Own, wait: bool },
    /// A function for scratch files.
    Scratch { name: String, wait: bool },
    /// `progress(fraction, message)`.
    Progress,
    /// `show(value)`.
    Show,
    /// A name that is no function.
    NoFunction(String),
    /// No such name.
    Unknown(String),
}

/// The names that a program finds.
#[derive(Debug)]
pub(super) struct Names {
    namespaces: Vec<String>,
    /// Those of them that are names of this program.
    bound: Vec<String>,
    /// Those that are ours, for there is no such server.
    ours: Vec<&'static str>,
    sites: Vec<Site>,
    /// The program awaits nothing, so that every call gives its result.
    plain: bool,
    input: MontyObject,
}

/// What programs that ran before refer to by number.
#[derive(Debug, Default)]
pub(super) struct Left {
    namespaces: Vec<String>,
    pub(super) sites: Vec<Site>,
}

impl Names {
    pub(super) fn new(
        mut bound: Vec<String>,
        left: Left,
        (sites, plain): (Vec<Site>, bool),
        input: MontyObject,
    ) -> Self {
        let mut ours = vec![SESSION, SCRATCH];
        ours.retain(|own| !bound.iter().any(|name| name == own));
        bound.extend(ours.iter().map(|own| (*own).to_owned()));
        let Left { mut namespaces, sites: mut all } = left;
        for name in &bound {
            if !namespaces.contains(name) {
                namespaces.push(name.clone());
            }
        }
        all.extend(sites);
        Self { namespaces, bound, ours, sites: all, plain, input }
    }

    /// What the next program's names begin with.
    pub(super) fn left(self) -> Left {
        Left { namespaces: self.namespaces, sites: self.sites }
    }

    /// Every global name with its value, but for those that earlier programs have given another.
    /// Names are bound before the run, for there are places where Monty cannot ask for them.
    pub(super) fn globals(&self, taken: &HashSet<String>) -> Vec<(String, MontyObject)> {
        // A server named `ask` stands before the function; the other names no server can have.
        let functions = own::FUNCTIONS.into_iter().chain(["progress", "show"]);
        let server = self.bound.iter().any(|name| name == "ask");
        let functions = functions.filter(|name| *name != "ask" || !server);
        let functions = functions.map(|name| {
            (name.to_owned(), MontyObject::Function { name: name.to_owned(), docstring: None })
        });
        let values =
            [("input".to_owned(), self.input.clone()), ("tools".to_owned(), instance("tools", 0))];
        let namespaces = self.namespaces.iter().enumerate();
        let namespaces = namespaces.filter(|(_, name)| self.bound.contains(name));
        let namespaces = namespaces.map(|(index, name)| (name.clone(), instance(name, index + 1)));
        let all = functions.chain(values).chain(namespaces);
        all.filter(|(name, _)| name == "input" || !taken.contains(name)).collect()
    }

    /// The value of an attribute of one of the host's objects. Global names are all bound.
    pub(super) fn look_up(&mut self, name: &str, of: Option<MontyUuid>) -> NameLookupResult {
        let Some(object) = of else {
            return NameLookupResult::Undefined;
        };
        let name = self.site(name).map_or(name, |site| site.name.as_str()).to_owned();
        if object == handle(0) {
            return self.namespace(&name).into();
        }
        // The dot keeps this name apart from all that a program can call by an identifier.
        let function = |(index, server): (usize, &String)| MontyObject::Function {
            name: if server.contains('.') {
                format!("{MARK}{index}.{name}")
            } else {
                format!("{server}.{name}")
            },
            docstring: None,
        };
        self.of(object).map(function).into()
    }

    /// The namespace of a name. The program may have computed the name, so that nobody asked for
    /// it before the run: whether there is such a server is for the host to say.
    fn namespace(&mut self, name: &str) -> Option<MontyObject> {
        let known = self.namespaces.iter().position(|namespace| namespace == name);
        let index = match known {
            Some(index) => index,
            None if name.len() > NAME_BYTES_MAX || name.starts_with("__") => return None,
            None if self.namespaces.len() >= NAMESPACES_MAX => return None,
            None => {
                self.namespaces.push(name.to_owned());
                self.namespaces.len() - 1
            }
        };
        Some(instance(name, index + 1))
    }

    fn of(&self, object: MontyUuid) -> Option<(usize, &String)> {
        self.namespaces.iter().enumerate().find(|(index, _)| handle(index + 1) == object)
    }

    /// The server that the first half of a function's name means.
    fn server(&self, name: &str) -> String {
        let index = name.strip_prefix(MARK).and_then(|index| index.parse::<usize>().ok());
        let marked = index.and_then(|index| self.namespaces.get(index));
        marked.map_or(name, String::as_str).to_owned()
    }

    fn site(&self, name: &str) -> Option<&Site> {
        self.sites.get(name.strip_prefix(MARK)?.parse::<usize>().ok()?)
    }

    /// What a call goes to.
    pub(super) fn target(&self, function: &str, of: Option<MontyUuid>) -> Target {
        let site = self.site(function);
        let name = site.map_or(function, |site| site.name.as_str());
        let wait = site.is_some_and(|site| site.wait) || self.plain;
        if let Some(object) = of {
            return match self.of(object) {
                Some((_, server)) => self.tool(server.clone(), name, wait),
                None => Target::NoFunction(format!("tools.{name}")),
            };
        }
        match name {
            "progress" => Target::Progress,
            "show" => Target::Show,
            _ => match name.split_once('.') {
                Some((server, tool)) => self.tool(self.server(server), tool, wait),
                None => match own::find(name) {
                    Some(own) => Target::Own { own, wait },
                    None => Target::Unknown(name.to_owned()),
                },
            },
        }
    }

    /// The member of a namespace, which may be ours.
    fn tool(&self, server: String, tool: &str, wait: bool) -> Target {
        if !self.ours.contains(&server.as_str()) {
            return Target::Tool { server, tool: tool.to_owned(), wait };
        }
        let name = format!("{server}.{tool}");
        if server == SCRATCH && scratch::has(tool) {
            return Target::Scratch { name: tool.to_owned(), wait };
        }
        match own::find(&name) {
            Some(own) => Target::Own { own, wait },
            None => Target::NoFunction(name),
        }
    }
}

/// The identity of the host's object number `index`.
fn handle(index: usize) -> MontyUuid {
    identity(*b"narrows\0", index)
}

fn identity(kind: [u8; 8], index: usize) -> MontyUuid {
    let mut bytes = [0; 16];
    let (head, tail) = bytes.split_at_mut(8);
    head.copy_from_slice(&kind);
    tail.copy_from_slice(&(index as u64).to_be_bytes());
    MontyUuid::from_random_bytes(bytes)
}

fn instance(name: &str, index: usize) -> MontyObject {
    let class_type = MontyClassType {
        name: name.to_owned(),
        id: identity(*b"classes\0", index),
        host_defined: true,
        is_dataclass: false,
        attrs: DictPairs::from(Vec::new()),
    };
    let instance_id = handle(index);
    let attrs = DictPairs::from(Vec::new());
    MontyObject::ClassInstance(Box::new(MontyClassInstance { class_type, instance_id, attrs }))
}
