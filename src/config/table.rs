//! What a key is, and the macro that makes the typed configuration of the table of keys.
//!
//! Invariant: a key exists in one place, its row of the table. The field, its default, what is accepted, the effective
//! values and the documentation are made of that row.

use super::masking::Masking;

/// What is known of a key, beside its type.
pub struct Key {
    /// Its name within its group.
    pub name: &'static str,
    /// What it accepts.
    pub rule: Rule,
    /// What it does here.
    pub state: State,
    /// What the documentation says.
    #[cfg(not(target_arch = "wasm32"))]
    pub meaning: &'static str,
}

/// What a key accepts. One whose default is nothing accepts `null` as well.
#[derive(Clone, Copy)]
pub enum Rule {
    /// A whole number of this range.
    Within(i64, i64),
    /// `true` or `false`.
    Flag,
    /// Text of at most so many bytes that a function has nothing to say against.
    Text(usize, fn(&str) -> Option<&'static str>),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of names.
    Names,
    /// A list of at most so many texts, each of at most so many bytes, that a function has nothing to say against.
    Texts(usize, usize, fn(&str) -> Option<&'static str>),
    /// `false`, or an object of rules of masking.
    Masking,
}

/// What a key does here.
#[derive(Clone, Copy)]
pub enum State {
    /// What it says.
    Honoured,
    /// Only its default is true here, for this reason.
    Fixed(&'static str),
    /// It belongs to this feature, which is not there; only its default is accepted, and nothing is in effect.
    Reserved(&'static str),
}

/// The value of a key, whatever its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Plain {
    /// `null`
    Nothing,
    /// `true` or `false`
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
    /// A list of texts.
    Names(Vec<String>),
    /// The text of a JSON object.
    Object(String),
}

/// A field of the configuration.
pub trait Setting {
    /// Takes a value that the key's rule accepts; `false` when the field's type has no such value.
    fn set(&mut self, value: Plain) -> bool;

    /// The value it has.
    fn value(&self) -> Plain;
}

/// A key and its field.
pub struct Entry<'c> {
    /// The group's name.
    pub group: &'static str,
    /// What is known of the key.
    pub key: &'static Key,
    /// The field.
    pub setting: &'c mut dyn Setting,
}

macro_rules! number_settings {
    ($($number:ty),+) => {$(
        impl Setting for $number {
            fn set(&mut self, value: Plain) -> bool {
                let Plain::Number(value) = value else { return false };
                <$number>::try_from(value).map(|value| *self = value).is_ok()
            }

            fn value(&self) -> Plain {
                Plain::Number(i64::try_from(*self).unwrap_or(i64::MAX))
            }
        }
    )+};
}

number_settings!(i64, u64, usize, u32);

impl Setting for bool {
    fn set(&mut self, value: Plain) -> bool {
        let Plain::Flag(value) = value else { return false };
        *self = value;
        true
    }

    fn value(&self) -> Plain {
        Plain::Flag(*self)
    }
}

impl Setting for String {
    fn set(&mut self, value: Plain) -> bool {
        let Plain::Text(value) = value else { return false };
        *self = value;
        true
    }

    fn value(&self) -> Plain {
        Plain::Text(self.clone())
    }
}

impl Setting for Vec<String> {
    fn set(&mut self, value: Plain) -> bool {
        let Plain::Names(value) = value else { return false };
        *self = value;
        true
    }

    fn value(&self) -> Plain {
        Plain::Names(self.clone())
    }
}

impl Setting for Masking {
    fn set(&mut self, value: Plain) -> bool {
        let rules = match value {
            Plain::Flag(false) => Ok(Self::default()),
            Plain::Object(text) => Self::parse(&text),
            _ => return false,
        };
        rules.map(|rules| *self = rules).is_ok()
    }

    fn value(&self) -> Plain {
        if self.0.is_empty() { Plain::Flag(false) } else { Plain::Object(self.json()) }
    }
}

impl<T: Setting + Default> Setting for Option<T> {
    fn set(&mut self, value: Plain) -> bool {
        if value == Plain::Nothing {
            *self = None;
            return true;
        }
        let mut inner = T::default();
        let taken = inner.set(value);
        if taken {
            *self = Some(inner);
        }
        taken
    }

    fn value(&self) -> Plain {
        self.as_ref().map_or(Plain::Nothing, Setting::value)
    }
}

/// Makes the groups, the whole, and the list of its keys. A row is
/// `field "name": Type = default, what it accepts, what it does;`, and its comment is the documentation.
macro_rules! groups {
    ($(
        $(#[doc = $about:literal])+
        $group:ident: $Group:ident {
            $(
                $(#[doc = $meaning:literal])+
                $field:ident $name:literal: $type:ty = $default:expr, $rule:expr, $state:expr;
            )+
        }
    )+) => {
        /// The whole configuration.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct StorageConfig {
            $(
                $(#[doc = $about])+
                pub $group: $Group,
            )+
        }

        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Group {
                $(
                    $(#[doc = $meaning])+
                    pub $field: $type,
                )+
            }

            impl Default for $Group {
                fn default() -> Self {
                    Self { $($field: $default,)+ }
                }
            }
        )+

        impl StorageConfig {
            /// All keys and their fields, group by group.
            pub fn entries(&mut self) -> Vec<Entry<'_>> {
                vec![$($(
                    Entry {
                        group: stringify!($group),
                        key: &Key {
                            name: $name,
                            rule: $rule,
                            state: $state,
                            #[cfg(not(target_arch = "wasm32"))]
                            meaning: concat!($($meaning),+),
                        },
                        setting: &mut self.$group.$field,
                    },
                )+)+]
            }
        }

        /// The groups, and what they are about.
        #[cfg(not(target_arch = "wasm32"))]
        pub const GROUPS: &[(&str, &str)] = &[$((stringify!($group), concat!($($about),+)),)+];
    };
}

pub(super) use groups;
