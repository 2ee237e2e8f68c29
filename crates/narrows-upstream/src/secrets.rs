//! What a server was given in confidence and may repeat where others read it: in its log.

use crate::spawn::Order;

/// Shorter values are too common to be blotted out.
const SECRET_BYTES_MIN: usize = 6;

/// Words that are blotted out.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// The longest first, so that none is left over because a part of it is one too.
    words: Vec<String>,
}

impl Secrets {
    /// Each value of the environment, each argument that follows or belongs to a name that tells of
    /// a secret, each password in an address; line by line, as they are read back.
    pub(crate) fn of(order: &Order) -> Self {
        let mut found: Vec<&str> = order.env.values().map(String::as_str).collect();
        let mut after_name = false;
        for arg in &order.args {
            if after_name {
                found.push(arg);
            }
            after_name = arg.starts_with('-') && !arg.contains(['=', ':']) && is_secret(arg);
            // `--token=x`, `TOKEN=x`, `Authorization: Bearer x`.
            if let Some((name, value)) = arg.split_once(['=', ':'])
                && is_secret(name)
            {
                found.push(value);
                found.extend(value.split_whitespace().last());
            }
            in_address(arg, &mut found);
        }
        let lines = found.into_iter().flat_map(str::lines).map(str::trim);
        let mut words: Vec<String> =
            lines.filter(|line| line.len() >= SECRET_BYTES_MIN).map(str::to_owned).collect();
        words.sort_by(|one, two| two.len().cmp(&one.len()).then_with(|| one.cmp(two)));
        words.dedup();
        Self { words }
    }

    /// The text without them.
    pub(crate) fn blot(&self, text: String) -> String {
        self.words.iter().fold(text, |text, word| {
            if text.contains(word.as_str()) { text.replace(word.as_str(), "***") } else { text }
        })
    }
}

/// Whether something of this name is nobody's business.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["token", "pass", "secret", "key", "auth", "credential"].iter().any(|word| name.contains(word))
}

/// The password of an address, and those members of its query that are secret by their names.
fn in_address<'a>(text: &'a str, found: &mut Vec<&'a str>) {
    let Some((_, rest)) = text.split_once("://") else { return };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _host)| user);
    if let Some((_, password)) = user.and_then(|user| user.split_once(':')) {
        found.push(password);
    }
    let query = rest.split_once('?').map(|(_, query)| query).unwrap_or_default();
    for member in query.split(['&', '#']) {
        if let Some((name, value)) = member.split_once('=')
            && is_secret(name)
        {
            found.push(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Secrets;
    use crate::spawn::Order;
    use std::collections::BTreeMap;

    #[test]
    fn no_secret_is_left_in_a_text() {
        let args = [
            "--api-key",
            "k-123456==",
            "--token=t-123456",
            "--header",
            "Authorization: Bearer b-123456",
            "-e",
            "GITHUB_PAT_TOKEN=e-123456",
            "postgres://me:p-123456@db/x@y",
            "https://x.example/mcp?api_key=q-123456&page=harmless#top",
            "--verbose",
            "harmless",
        ];
        let env = BTreeMap::from([("PEM".to_owned(), "line-one\r\nline-two\n".to_owned())]);
        let args = args.map(str::to_owned).to_vec();
        let order = Order { command: "npx".to_owned(), args, env, cwd: None };
        let secrets = Secrets::of(&order);
        let said = "k-123456== t-123456 b-123456 e-123456 p-123456 q-123456 line-one line-two";
        assert_eq!(secrets.blot(said.to_owned()), ["***"; 8].join(" "));
        let harmless = "npx --verbose harmless https://x.example/mcp?page=harmless";
        assert_eq!(secrets.blot(harmless.to_owned()), harmless);
    }

    #[test]
    fn of_two_secrets_the_longer_one_goes_first() {
        let env = [("A", "s3cr3t"), ("B", "s3cr3t-and-more")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let order = Order { command: String::new(), args: Vec::new(), env, cwd: None };
        assert_eq!(Secrets::of(&order).blot("s3cr3t-and-more".to_owned()), "***");
    }
}
