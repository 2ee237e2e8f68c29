//! Who comes in, and what they see: keys, modes, and the upstreams of each.

use crate::config::{Access, Key};
use crate::seal::Seal;
use narrows_types::{Fault, Kind, Mode, Origin, Principal, fault, wildcard};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What a door knows of whoever knocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Knock<'a> {
    /// The key that it shows (`Authorization: Bearer KEY`).
    pub bearer: Option<&'a str>,
    /// How it calls itself (`clientInfo.name`).
    pub client: Option<&'a str>,
    /// The mode that it asks for (`?mode=`).
    pub mode: Option<Mode>,
}

/// Who came in, and what it sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who it is.
    pub principal: Principal,
    /// What it sees.
    pub mode: Mode,
}

/// The upstreams of one key, by their configured names.
pub(crate) type Scope = Arc<Vec<String>>;

/// The rules of one config, ready to be asked.
pub(crate) struct Doorman {
    rules: Access,
    /// Digests of the keys: looking one up tells nothing of the others.
    keys: HashMap<[u8; 32], usize>,
    scopes: HashMap<String, Scope>,
}

impl Doorman {
    pub(crate) fn new(rules: Access, seal: &Seal) -> Self {
        let digest = |(at, key): (usize, &Key)| (seal.digest(&[key.secret.as_bytes()]), at);
        let keys = rules.keys.iter().enumerate().map(digest).collect();
        let scopes = rules
            .keys
            .iter()
            .filter(|key| !key.servers.is_empty())
            .map(|key| (key.name.clone(), Arc::new(key.servers.clone())))
            .collect();
        Self { rules, keys, scopes }
    }

    pub(crate) fn has_keys(&self) -> bool {
        !self.rules.keys.is_empty()
    }

    /// The upstreams that a principal is confined to.
    pub(crate) fn scope(&self, principal: &Principal) -> Option<&Scope> {
        self.scopes.get(&principal.name)
    }

    pub(crate) fn enter(
        &self,
        knock: &Knock<'_>,
        mode: &Switch,
        seal: &Seal,
    ) -> Result<Entry, Fault> {
        let key = self.key(knock.bearer, seal)?;
        let principal = key.map_or_else(Principal::local, |k| Principal { name: k.name.clone() });
        if let Some(mode) = key.and_then(|key| key.mode) {
            return Ok(Entry { principal, mode });
        }
        let mode = match knock.mode {
            Some(asked) if self.rules.choices.contains(&asked) => asked,
            Some(asked) => return Err(self.not_offered(asked)),
            None => self.mode_of(knock.client).unwrap_or_else(|| mode.now(self.rules.mode)),
        };
        Ok(Entry { principal, mode })
    }

    fn key(&self, bearer: Option<&str>, seal: &Seal) -> Result<Option<&Key>, Fault> {
        if !self.has_keys() {
            return Ok(None);
        }
        let wrong = |message: &str| Fault::new(Kind::Unauthenticated, Origin::Agent, message);
        let Some(bearer) = bearer else {
            return Err(wrong("no key was given").hint("send `Authorization: Bearer KEY`"));
        };
        let found = self.keys.get(&seal.digest(&[bearer.as_bytes()]));
        match found.and_then(|at| self.rules.keys.get(*at)) {
            Some(key) => Ok(Some(key)),
            None => Err(wrong("the key is unknown").hint("see [keys] in the config of narrows")),
        }
    }

    fn mode_of(&self, client: Option<&str>) -> Option<Mode> {
        let client = client?;
        let (_, mode) = self.rules.clients.iter().find(|(pattern, _)| fits(pattern, client))?;
        Some(*mode)
    }

    /// Whether the mode of everybody can be changed to this one.
    pub(crate) fn may_switch(&self, mode: Mode) -> Result<(), Fault> {
        if !self.rules.switchable {
            let fault = Fault::new(Kind::Forbidden, Origin::Agent, "the mode is fixed here");
            return Err(fault.hint("set serve.switch_mode = true in the config of narrows"));
        }
        if self.rules.choices.contains(&mode) { Ok(()) } else { Err(self.not_offered(mode)) }
    }

    fn not_offered(&self, mode: Mode) -> Fault {
        let choices: Vec<String> = self.rules.choices.iter().map(Mode::to_string).collect();
        let message = format!("mode {mode} is not offered here");
        let fault = Fault::new(Kind::Forbidden, Origin::Agent, message);
        fault.hint(format!("there are: {}", choices.join(", ")))
    }
}

/// The mode that was switched to while Narrows runs, if it was.
#[derive(Default)]
pub(crate) struct Switch(AtomicU8);

impl Switch {
    pub(crate) fn now(&self, configured: Mode) -> Mode {
        match self.0.load(Ordering::Relaxed) {
            1 => Mode::Code,
            2 => Mode::Hybrid,
            3 => Mode::Mcp,
            _ => configured,
        }
    }

    /// `None` goes back to the config's.
    pub(crate) fn set(&self, mode: Option<Mode>) {
        let number = match mode {
            None => 0,
            Some(Mode::Code) => 1,
            Some(Mode::Hybrid) => 2,
            Some(Mode::Mcp) => 3,
        };
        self.0.store(number, Ordering::Relaxed);
    }
}

/// Whether a client's name fits a pattern, letter case aside.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), fault::clip(name.to_lowercase(), 256));
    wildcard::fits(&pattern, &name)
}

#[cfg(test)]
mod tests {
    use super::{Doorman, Knock, Switch, fits};
    use crate::config::{Access, Key};
    use crate::seal::Seal;
    use narrows_types::{Kind, Mode};

    fn key(name: &str, secret: &str, mode: Option<Mode>) -> Key {
        let (name, secret, servers) = (name.to_owned(), secret.to_owned(), Vec::new());
        Key {
            name,
            secret,
            mode,
            servers,
            limits: narrows_types::Lowered::default(),
            backend: None,
        }
    }

    #[test]
    fn with_keys_only_their_holders_come_in_under_their_names() {
        let seal = Seal::new(b"secret").unwrap();
        let keys = vec![key("ann", "a1", None), key("bob", "b2", Some(Mode::Mcp))];
        let doorman = Doorman::new(Access { keys, ..Access::default() }, &seal);
        let switch = Switch::default();
        let enter =
            |bearer, mode| doorman.enter(&Knock { bearer, client: None, mode }, &switch, &seal);
        let entry = enter(Some("b2"), Some(Mode::Code)).unwrap();
        assert_eq!((entry.principal.name.as_str(), entry.mode), ("bob", Mode::Mcp));
        assert_eq!(enter(Some("a1"), Some(Mode::Hybrid)).unwrap().mode, Mode::Hybrid);
        for wrong in [None, Some(""), Some("a"), Some("a12")] {
            assert_eq!(enter(wrong, None).unwrap_err().kind, Kind::Unauthenticated);
        }
    }

    #[test]
    fn the_mode_is_what_is_asked_then_what_the_name_says_then_the_switch_then_the_config() {
        let seal = Seal::new(b"secret").unwrap();
        let rules = Access {
            choices: vec![Mode::Code, Mode::Mcp],
            clients: vec![("cursor*".to_owned(), Mode::Mcp)],
            switchable: true,
            ..Access::default()
        };
        let doorman = Doorman::new(rules, &seal);
        let switch = Switch::default();
        let mode = |client, mode| {
            let knock = Knock { bearer: None, client, mode };
            doorman.enter(&knock, &switch, &seal).map(|entry| entry.mode)
        };
        assert_eq!(mode(Some("Cursor-vscode"), None).unwrap(), Mode::Mcp);
        assert_eq!(mode(Some("Cursor-vscode"), Some(Mode::Code)).unwrap(), Mode::Code);
        assert_eq!(mode(Some("else"), None).unwrap(), Mode::Code);
        assert_eq!(mode(None, Some(Mode::Hybrid)).unwrap_err().kind, Kind::Forbidden);
        assert_eq!(doorman.may_switch(Mode::Hybrid).unwrap_err().kind, Kind::Forbidden);
        doorman.may_switch(Mode::Mcp).unwrap();
        switch.set(Some(Mode::Mcp));
        assert_eq!(mode(None, None).unwrap(), Mode::Mcp);
    }

    #[test]
    fn letter_case_of_a_clients_name_does_not_count() {
        assert!(fits("claude*", "Claude-Code") && fits("Claude*", "claude-code"));
        assert!(!fits("a", "ab"));
    }
}
