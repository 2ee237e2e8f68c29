//! From a [`Tree`] to typed settings by serde, with errors that name file, line, key path, what was
//! expected and the nearest key.

use super::problem::{Problem, dotted, nearest};
use super::tree::{Entry, Kind, Place, Tree};
use serde::Deserialize;
use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor, value::StrDeserializer,
};
use std::fmt;

/// Reads `tree`, which stands at `path`.
pub(crate) fn decode<'t, T: Deserialize<'t>>(tree: &'t Tree, path: &[&str]) -> Result<T, Problem> {
    T::deserialize(Reader(tree)).map_err(|e| e.into_problem(path))
}

#[derive(Debug)]
enum What {
    Unknown { key: String, known: &'static [&'static str] },
    Choice { value: String, known: &'static [&'static str] },
    Type { found: String, expected: String },
    Missing(&'static str),
    Other(String),
}

/// An error on its way up: each table on the way adds its key.
#[derive(Debug)]
struct Broken {
    what: What,
    /// Innermost key first.
    path: Vec<String>,
    place: Option<Place>,
}

impl Broken {
    fn of(what: What) -> Self {
        Self { what, path: Vec::new(), place: None }
    }

    fn under(mut self, key: String) -> Self {
        self.path.push(key);
        self
    }

    fn near(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    fn into_problem(self, outer: &[&str]) -> Problem {
        let path: Vec<String> =
            outer.iter().map(|&key| key.to_owned()).chain(self.path.into_iter().rev()).collect();
        let at = if path.is_empty() { String::new() } else { dotted(&path) };
        let subject = if at.is_empty() { "the config".to_owned() } else { format!("`{at}`") };
        let problem = match self.what {
            What::Unknown { key, known } => {
                let scope = if at.is_empty() { String::new() } else { format!(" at {at}") };
                Problem::new(format!("unknown key `{}`{scope}", key.escape_debug()))
                    .hint(suggestion(&key, known, "keys"))
            }
            What::Choice { value, known } => {
                Problem::new(format!("{subject} has the unknown value `{}`", value.escape_debug()))
                    .hint(suggestion(&value, known, "values"))
            }
            What::Type { found, expected } => {
                Problem::new(format!("{subject} must be {expected}, not {found}"))
            }
            What::Missing(key) => Problem::new(format!("{subject} lacks the key `{key}`")),
            What::Other(message) => Problem::new(format!("{subject}: {message}")),
        };
        match self.place {
            Some(place) => problem.at(&place),
            None => problem,
        }
    }
}

fn suggestion(word: &str, known: &[&str], plural: &str) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the {plural} here are {}", known.join(", ")),
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for Broken {}

impl de::Error for Broken {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::of(What::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        // Text is never repeated: it may be a secret.
        let found = match found {
            Unexpected::Bool(b) => b.to_string(),
            Unexpected::Unsigned(n) => format!("the number {n}"),
            Unexpected::Signed(n) => format!("the number {n}"),
            Unexpected::Float(n) => format!("the number {n}"),
            Unexpected::Str(_) => "text".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "a table".to_owned(),
            Unexpected::Unit => "null".to_owned(),
            other => other.to_string(),
        };
        Self::of(What::Type { found, expected: plain_words(&expected.to_string()) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(value: &str, known: &'static [&'static str]) -> Self {
        Self::of(What::Choice { value: value.to_owned(), known })
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::of(What::Unknown { key: key.to_owned(), known })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::of(What::Missing(key))
    }
}

/// serde speaks Rust; a config's author does not.
fn plain_words(expected: &str) -> String {
    match expected {
        "a sequence" => "a list",
        "a map" => "a table",
        "a boolean" => "true or false",
        "a string" | "path string" => "text",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number, 0 or more",
        other if other.starts_with("struct ") => "a table",
        other if other.starts_with("enum ") => "one of the known words",
        other => other,
    }
    .to_owned()
}

/// A tree as serde sees it.
struct Reader<'t>(&'t Tree);

impl<'t> Reader<'t> {
    fn any<V: Visitor<'t>>(&self, visitor: V) -> Result<V::Value, Broken> {
        match &self.0.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(b) => visitor.visit_bool(*b),
            Kind::Number(n) => match (n.as_u64(), n.as_i64(), n.as_f64()) {
                (Some(n), ..) => visitor.visit_u64(n),
                (_, Some(n), _) => visitor.visit_i64(n),
                (.., n) => visitor.visit_f64(n.unwrap_or(f64::NAN)),
            },
            Kind::Text(text) => visitor.visit_borrowed_str(text),
            Kind::List(items) => visitor.visit_seq(Items { items: items.iter(), at: 0 }),
            Kind::Table(entries) => {
                visitor.visit_map(Keys { entries: entries.iter(), value: None })
            }
        }
        .map_err(|e| e.near(&self.0.place))
    }

    /// Text of a source that knows nothing else.
    fn words(&self) -> Option<&'t str> {
        if self.0.place.text_only { self.0.as_text() } else { None }
    }

    fn number<V: Visitor<'t>>(&self, visitor: V) -> Result<V::Value, Broken> {
        match self.words().map(|t| t.trim().replace('_', "")) {
            Some(digits) => match digits.parse::<u64>() {
                Ok(n) => visitor.visit_u64(n).map_err(|e: Broken| e.near(&self.0.place)),
                Err(_not_a_number) => self.any(visitor),
            },
            None => self.any(visitor),
        }
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Broken> {
            self.number(visitor)
        })*
    };
}

impl<'t> de::Deserializer<'t> for Reader<'t> {
    type Error = Broken;

    fn deserialize_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Broken> {
        self.any(visitor)
    }

    numbers! { deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_bool<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Broken> {
        match self.words().map(str::trim) {
            Some("true" | "1" | "yes" | "on") => visitor.visit_bool(true),
            Some("false" | "0" | "no" | "off") => visitor.visit_bool(false),
            _ => self.any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Broken> {
        let Some(text) = self.words() else { return self.any(visitor) };
        let place = &self.0.place;
        let items: Vec<String> = match serde_json::from_str(text) {
            Ok(items) => items,
            Err(_not_json) if text.trim().is_empty() => Vec::new(),
            Err(_not_json) => text.split(',').map(|item| item.trim().to_owned()).collect(),
        };
        visitor
            .visit_seq(de::value::SeqDeserializer::<_, Broken>::new(items.into_iter()))
            .map_err(|e| e.near(place))
    }

    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Broken> {
        if matches!(self.0.kind, Kind::Null) {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'t>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Broken> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'t>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Broken> {
        let Some(word) = self.0.as_text() else {
            let words = known.join(", ");
            let found = self.0.kind.to_string();
            return Err(Broken::of(What::Type { found, expected: format!("one of {words}") })
                .near(&self.0.place));
        };
        visitor.visit_enum(Word(word)).map_err(|e| e.near(&self.0.place))
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'t>>
        i8 i16 i32 i64 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items<'t> {
    items: std::slice::Iter<'t, Tree>,
    at: usize,
}

impl<'t> SeqAccess<'t> for Items<'t> {
    type Error = Broken;

    fn next_element_seed<T: DeserializeSeed<'t>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Broken> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let index = self.at;
        self.at += 1;
        let read = seed.deserialize(Reader(item));
        read.map(Some).map_err(|e| e.near(&item.place).under(format!("[{index}]")))
    }
}

struct Keys<'t> {
    entries: std::slice::Iter<'t, Entry>,
    value: Option<&'t Entry>,
}

impl<'t> MapAccess<'t> for Keys<'t> {
    type Error = Broken;

    fn next_key_seed<K: DeserializeSeed<'t>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Broken> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'_, Broken> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|e| e.near(&entry.place))
    }

    fn next_value_seed<V: DeserializeSeed<'t>>(&mut self, seed: V) -> Result<V::Value, Broken> {
        let Some(entry) = self.value.take() else {
            return Err(Broken::of(What::Other("a key without a value".to_owned())));
        };
        let read = seed.deserialize(Reader(&entry.value));
        read.map_err(|e| e.near(&entry.value.place).under(entry.key.clone()))
    }
}

/// A word of an enum without contents.
struct Word<'t>(&'t str);

impl<'t> EnumAccess<'t> for Word<'t> {
    type Error = Broken;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'t>>(self, seed: V) -> Result<(V::Value, Self), Broken> {
        let word: StrDeserializer<'_, Broken> = self.0.into_deserializer();
        seed.deserialize(word).map(|value| (value, self))
    }
}

impl<'t> VariantAccess<'t> for Word<'t> {
    type Error = Broken;

    fn unit_variant(self) -> Result<(), Broken> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'t>>(self, _seed: T) -> Result<T::Value, Broken> {
        Err(de::Error::custom("only plain words are known here"))
    }

    fn tuple_variant<V: Visitor<'t>>(self, _len: usize, _visitor: V) -> Result<V::Value, Broken> {
        Err(de::Error::custom("only plain words are known here"))
    }

    fn struct_variant<V: Visitor<'t>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Broken> {
        Err(de::Error::custom("only plain words are known here"))
    }
}
