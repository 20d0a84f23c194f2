//! The reader of all our own JSON files: manifest, kit index, receipt, and the programs' records.
//!
//! serde alone accepts more than the formats allow: a list in place of an object, a name that a map
//! holds twice. If one reader accepts what another refuses, a signed file has two meanings, so all
//! of that is refused here.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};

/// Reasons to refuse a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not the JSON of that format: wrong syntax, an unknown, repeated or missing field, a value of
    /// another kind. serde's own message is left out, as it may quote the input.
    #[error("is not valid: line {line}, column {column}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// The file has another format.
    #[error("is not of the format '{expected}'")]
    Format {
        /// The only format that is read.
        expected: &'static str,
    },
    /// The same format with a higher number, which only a later release can read.
    #[error("is of the later format '{found}', expected '{expected}'")]
    Later {
        /// The only format that is read.
        expected: &'static str,
        /// Format found: `expected` with a higher number.
        found: String,
    },
}

impl JsonError {
    /// Returns true if a later release can read the file.
    pub fn is_later(&self) -> bool {
        matches!(self, Self::Later { .. })
    }

    fn other_format(expected: &'static str, found: &str) -> Self {
        let split = |format| -> Option<(&str, u32)> {
            let (name, number) = str::rsplit_once(format, '/')?;
            Some((name, number.parse().ok()?))
        };
        match (split(expected), split(found)) {
            (Some((ours, read)), Some((name, number))) if name == ours && number > read => {
                Self::Later { expected, found: format!("{ours}/{number}") }
            }
            _ => Self::Format { expected },
        }
    }
}

/// Reads an object whose `format` is `expected`.
///
/// # Errors
/// Returns [`JsonError::Format`] or [`JsonError::Later`] before any other difference, as the rest
/// of a later format cannot be understood.
pub fn read<T: DeserializeOwned>(bytes: &[u8], expected: &'static str) -> Result<T, JsonError> {
    require_format(bytes, expected)?;
    object(bytes)
}

/// Checks the `format` of an object, and nothing else.
///
/// # Errors
/// Returns [`JsonError::Format`] or [`JsonError::Later`]; [`JsonError::Syntax`] for anything but an
/// object with a `format`.
pub fn require_format(bytes: &[u8], expected: &'static str) -> Result<(), JsonError> {
    #[derive(Deserialize)]
    struct FormatOnly {
        format: String,
    }
    let FormatOnly { format } = object(bytes)?;
    if format == expected { Ok(()) } else { Err(JsonError::other_format(expected, &format)) }
}

/// Reads an object without a `format`: one inside another, or the part of one that is needed before
/// the rest.
///
/// # Errors
/// Returns [`JsonError::Syntax`].
pub fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    let syntax =
        |error: serde_json::Error| JsonError::Syntax { line: error.line(), column: error.column() };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Strict(&mut json)).map_err(syntax)?;
    json.end().map_err(syntax)?;
    Ok(value)
}

/// Deserializes an optional field that is absent when it has no value, and refuses `null`. To be
/// used as `deserialize_with`, together with `default`.
///
/// # Errors
/// Fails like the value itself.
pub fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A deserializer, visitor, seed, or access to a list or map, that applies the rules to nested
/// values as well.
struct Strict<T>(T);

macro_rules! forward {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($argument,)* Strict(visitor))
        })*
    };
}

macro_rules! forward_plain {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    forward! {
        deserialize_option();
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(length: usize);
        deserialize_tuple_struct(name: &'static str, length: usize);
        deserialize_map();
    }

    /// Reads a struct from a map only, as serde_json would also accept a list.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Strict(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    // these have no nested values, or none that anybody reads
    forward_plain! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_unit deserialize_identifier deserialize_ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Entries { entries, seen: HashSet::new() })
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

/// The fields of an object, checked for repeated names.
struct Entries<A> {
    entries: A,
    seen: HashSet<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let Some(name) = self.entries.next_key::<String>()? else { return Ok(None) };
        let key: StringDeserializer<A::Error> = name.clone().into_deserializer();
        if !self.seen.insert(name) {
            return Err(de::Error::custom("a name stands there twice"));
        }
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.entries.next_value_seed(Strict(seed))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        format: String,
        one: Nested,
        list: Vec<Nested>,
        maybe: Option<Nested>,
        #[serde(default, deserialize_with = "present")]
        left_out: Option<Nested>,
        map: BTreeMap<String, Nested>,
        pair: [Option<u64>; 2],
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nested {
        number: u64,
    }

    const FORMAT: &str = "test/1";
    const SOUND: &str = r#"{"format":"test/1","one":{"number":1},"list":[{"number":2}],
        "maybe":{"number":3},"map":{"a":{"number":4},"b":{"number":5}},"pair":[6,null]}"#;

    fn is_syntax(text: &str) -> bool {
        matches!(read::<Outer>(text.as_bytes(), FORMAT), Err(JsonError::Syntax { .. }))
    }

    #[test]
    fn what_a_format_says_is_read() {
        let inner = |number| Nested { number };
        let expected = Outer {
            format: FORMAT.into(),
            one: inner(1),
            list: vec![inner(2)],
            maybe: Some(inner(3)),
            left_out: None,
            map: [("a".into(), inner(4)), ("b".into(), inner(5))].into(),
            pair: [Some(6), None],
        };
        assert_eq!(read(SOUND.as_bytes(), FORMAT), Ok(expected));
        assert!(read::<Outer>(SOUND.replace("{\"number\":3}", "null").as_bytes(), FORMAT).is_ok());
    }

    #[test]
    fn a_list_is_no_object_however_deep_it_lies() {
        for number in 1..=5 {
            let changed =
                SOUND.replace(&format!("{{\"number\":{number}}}"), &format!("[{number}]"));
            assert_ne!(changed, SOUND);
            assert!(is_syntax(&changed), "{changed}");
        }
        assert!(is_syntax(r#"["test/1",{"number":1},[],null,null,{},[6,null]]"#));
    }

    #[test]
    fn no_name_stands_twice_in_an_object_or_map() {
        for (once, twice) in [
            (r#"{"number":1}"#, r#"{"number":1,"number":1}"#),
            (r#""b":{"#, r#""a":{"#),
            (r#"{"format""#, r#"{"format":"test/1","format""#),
        ] {
            assert!(is_syntax(&SOUND.replacen(once, twice, 1)), "{twice}");
        }
    }

    #[test]
    fn null_does_not_stand_for_a_field_that_is_left_out() {
        let with = |value: &str| SOUND.replacen('{', &format!("{{\"left_out\":{value},"), 1);
        assert!(read::<Outer>(with(r#"{"number":7}"#).as_bytes(), FORMAT).is_ok());
        assert!(is_syntax(&with("null")));
        assert!(is_syntax(&with("[7]")));
    }

    #[test]
    fn another_format_is_called_that_whatever_else_is_different() {
        let why = |format: &str| {
            let text = format!(r#"{{"format":"{format}","new":[]}}"#);
            read::<Outer>(text.as_bytes(), FORMAT).unwrap_err()
        };
        let later = |found: &str| JsonError::Later { expected: FORMAT, found: found.to_owned() };
        assert_eq!(why("test/2"), later("test/2"));
        assert_eq!(why("test/+012"), later("test/12"), "nothing foreign is repeated");
        for other in ["test/0", "test/01", "test", "test/x", "other/2", "test/2/2", "", "/2"] {
            assert_eq!(why(other), JsonError::Format { expected: FORMAT }, "{other}");
        }
    }

    #[test]
    fn nothing_follows_the_object() {
        assert!(is_syntax(&format!("{SOUND}{{}}")));
        assert!(is_syntax(&format!("{SOUND} x")));
    }
}
