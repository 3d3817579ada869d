//! Columns into documents: the inverse of [`super::shred`].

use super::column::{Column, ColumnCursor};
use super::schema::ID_NAME;
use super::value::Scalar;
use crate::error::{ErrorKind, Result, StorageError};
use crate::types::json::{Members, write_string};
use crate::types::time::MICROS_PER_MILLI;
use crate::types::{Document, Json, StorageTier};

/// A column of a batch to rebuild from, and the field it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct RebuiltColumn<'a> {
    /// The name of the documents' field.
    pub name: &'a str,
    /// Its values.
    pub column: &'a Column,
}

/// Rebuilds the documents of a batch, one after the other.
///
/// Only the fields of the columns it is given are put into the text, and of `_extra` only what `wanted` asks for.
pub struct Rebuilder<'a> {
    ids: ColumnCursor<'a>,
    sequences: ColumnCursor<'a>,
    timestamps: ColumnCursor<'a>,
    fields: Vec<(&'a str, ColumnCursor<'a>)>,
    extra: Option<ColumnCursor<'a>>,
    wanted: Option<&'a [&'a str]>,
    rows: usize,
    row: usize,
}

impl<'a> Rebuilder<'a> {
    /// Of the three columns that each table has, the fields' columns, and `_extra` unless it is known to be null.
    /// `wanted`: the fields to take from `_extra`; `None` takes all.
    pub fn new(
        [ids, sequences, timestamps]: [&'a Column; 3],
        fields: impl Iterator<Item = RebuiltColumn<'a>>,
        extra: Option<&'a Column>,
        wanted: Option<&'a [&'a str]>,
    ) -> Result<Self> {
        let fields: Vec<_> = fields.map(|field| (field.name, field.column.cursor())).collect();
        let rows = ids.rows();
        let others =
            [sequences, timestamps].into_iter().chain(extra).chain(fields.iter().map(|(_, cursor)| cursor.column()));
        if others.into_iter().any(|column| column.rows() != rows) {
            return Err(corrupt(format!("expected all columns to have {rows} rows like id, got other counts")));
        }
        let (ids, sequences, timestamps) = (ids.cursor(), sequences.cursor(), timestamps.cursor());
        Ok(Self { ids, sequences, timestamps, fields, extra: extra.map(Column::cursor), wanted, rows, row: 0 })
    }

    /// Passes over the next document.
    pub fn skip_document(&mut self) {
        if self.row >= self.rows {
            return;
        }
        self.row += 1;
        let own = [&mut self.ids, &mut self.sequences, &mut self.timestamps];
        let fields = self.fields.iter_mut().map(|(_, cursor)| cursor);
        own.into_iter().chain(fields).chain(self.extra.as_mut()).for_each(ColumnCursor::skip_value);
    }

    /// The next document; `None` after the last.
    pub fn next_document(&mut self) -> Result<Option<Document>> {
        if self.row >= self.rows {
            return Ok(None);
        }
        self.row += 1;
        let Some(Scalar::Text(id)) = self.ids.next_value() else {
            return Err(corrupt("expected an id, got none".to_owned()));
        };
        let sequence = long(self.sequences.next_value(), "_seq")?;
        let timestamp = long(self.timestamps.next_value(), "_ts")?.div_euclid(MICROS_PER_MILLI);
        let extra_text = match self.extra.as_mut().and_then(ColumnCursor::next_value) {
            Some(Scalar::Text(text)) => Some(text),
            _ => None,
        };
        let extra = extra_text.as_deref().map(parse_extra).transpose()?.unwrap_or_default();
        let text = self.write_text(&id, &extra);
        Ok(Some(Document { id: id.into_owned(), sequence, timestamp, text }))
    }

    fn write_text(&mut self, id: &str, extra: &Members<'_>) -> String {
        let mut text = String::from("{\"id\":");
        write_string(id, &mut text);
        for (name, cursor) in &mut self.fields {
            let Some(value) = cursor.next_value() else { continue };
            if extra.iter().any(|(other, _)| other == name) {
                continue;
            }
            write_name(name, &mut text);
            cursor.column().column_type().write_canonical(&value, &mut text);
        }
        for (name, value) in extra {
            if self.wanted.is_none_or(|wanted| wanted.contains(&name.as_ref())) {
                write_name(name, &mut text);
                value.write(&mut text);
            }
        }
        text.push('}');
        text
    }
}

fn write_name(name: &str, text: &mut String) {
    text.push(',');
    write_string(name, text);
    text.push(':');
}

fn parse_extra(text: &str) -> Result<Members<'_>> {
    match Json::parse(text) {
        Ok(Json::Object(members)) if !members.iter().any(|(name, _)| name == ID_NAME) => Ok(members),
        Ok(other) => Err(corrupt(format!("expected _extra to be an object without id, got {}", other.kind()))),
        Err(error) => Err(corrupt("expected _extra to be JSON text".to_owned()).caused_by(error)),
    }
}

fn long(value: Option<Scalar<'_>>, name: &str) -> Result<i64> {
    match value {
        Some(Scalar::Long(value)) => Ok(value),
        _ => Err(corrupt(format!("expected a value of {name}, got none"))),
    }
}

fn corrupt(message: String) -> StorageError {
    StorageError::new(ErrorKind::Corrupt, StorageTier::Cold, "rebuild document", message)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::vortex::infer::observe;
    use crate::vortex::schema::{ColumnDeclaration, TableSchema};
    use crate::vortex::shred::{ShreddedBatch, Shredder, StrayFields};

    fn document(number: usize, text: String) -> Document {
        Document { id: format!("d{number}"), sequence: 1, timestamp: 1_709_251_199_999, text }
    }

    fn learned(documents: &[Document]) -> TableSchema {
        let mut schema = TableSchema::default();
        for document in documents {
            observe(&mut schema, &Json::parse(&document.text).unwrap());
        }
        schema
    }

    fn shred(schema: &TableSchema, documents: &[Document]) -> ShreddedBatch {
        let mut shredder = Shredder::new(schema);
        for document in documents {
            shredder.push(document).unwrap();
        }
        shredder.take()
    }

    fn rebuild(schema: &TableSchema, batch: &ShreddedBatch, wanted: Option<&[&str]>) -> Vec<Document> {
        let fields = schema.columns().iter().zip(&batch.columns);
        let fields = fields.map(|(definition, column)| RebuiltColumn { name: &definition.name, column });
        let fields = fields.filter(|field| wanted.is_none_or(|wanted| wanted.contains(&field.name)));
        let required = [&batch.ids, &batch.sequences, &batch.timestamps];
        let mut rebuilder = Rebuilder::new(required, fields, Some(&batch.extra), wanted).unwrap();
        std::iter::from_fn(|| rebuilder.next_document().unwrap()).collect()
    }

    fn assert_same(documents: &[Document], rebuilt: &[Document]) {
        assert_eq!(documents.len(), rebuilt.len());
        for (document, rebuilt) in documents.iter().zip(rebuilt) {
            let same = Json::parse(&document.text).unwrap().same(&Json::parse(&rebuilt.text).unwrap());
            assert!(same, "{} became {}", document.text, rebuilt.text);
            let meta = |document: &Document| (document.id.clone(), document.sequence, document.timestamp);
            assert_eq!(meta(document), meta(rebuilt));
        }
    }

    /// What must hold for any documents and any schema.
    fn check(schema: &TableSchema, documents: &[Document]) {
        let batch = shred(schema, documents);
        assert_same(documents, &rebuild(schema, &batch, None));
        for (row, document) in documents.iter().enumerate() {
            let parsed = Json::parse(&document.text).unwrap();
            for (definition, column) in schema.columns().iter().zip(&batch.columns) {
                assert_eq!(column.rows(), documents.len());
                let value = parsed.get(&definition.name).unwrap_or(&Json::Null);
                let represented = definition.column_type.represent(value);
                let held = column.get(row);
                if let Some((scalar, _)) = represented {
                    assert_eq!(held, Some(scalar), "a representable value is in its column");
                } else {
                    assert_eq!(held.is_some(), definition.is_mixed() && *value != Json::Null);
                }
            }
        }
    }

    fn number_text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<i64>().prop_map(|value| value.to_string()),
            any::<i32>().prop_map(|value| value.to_string()),
            any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:e}")),
            any::<f32>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| value.to_string()),
            "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?",
        ]
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[0-9]{4}-[01][0-9]-[0-3][0-9]",
            "20[0-9]{2}-0[1-9]-[012][1-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]0[0-9]:30)",
            "[0-9a-fA-F]{8}-0000-7000-8000-[0-9a-f]{12}",
            "([A-Za-z0-9+/]{4}){0,3}(AA==)?",
            "-?[0-9]{1,5}(\\.[0-9]{1,3})?",
        ]
    }

    fn value() -> impl Strategy<Value = Json<'static>> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            number_text().prop_map(|text| Json::Number(Cow::Owned(text))),
            text().prop_map(|text| Json::String(Cow::Owned(text))),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let members = prop::collection::btree_map("[a-c]{0,2}", inner.clone(), 0..4);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Json::Array),
                members.prop_map(|members| Json::Object(
                    members.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect()
                )),
            ]
        })
    }

    fn documents() -> impl Strategy<Value = Vec<Document>> {
        let name = prop_oneof![9 => "[a-f]", 1 => "[A-B]|_x|_extra|_seq|ID|Id|é|", 1 => any::<String>()];
        let members = prop::collection::btree_map(name, value(), 0..7);
        prop::collection::vec(members, 0..40).prop_map(|all| {
            let texts = all.into_iter().enumerate().map(|(number, members)| {
                let mut members: Members<'static> = members
                    .into_iter()
                    .filter(|(name, _)| name != ID_NAME)
                    .map(|(name, value)| (Cow::Owned(name), value))
                    .collect();
                let id = (Cow::Borrowed(ID_NAME), Json::String(Cow::Owned(format!("d{number}"))));
                members.insert(number % members.len().max(1), id);
                document(number, Json::Object(members).to_text())
            });
            texts.collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn inferred_columns_rebuild_every_document(documents in documents()) {
            check(&learned(&documents), &documents);
        }

        #[test]
        fn columns_that_fit_badly_rebuild_every_document(
            documents in documents(),
            types in prop::collection::vec(prop::sample::select(vec![
                "bool", "int", "long", "float", "double", "decimal(9,2)", "decimal(38,0)", "date", "timestamp", "string", "uuid", "binary", "json",
            ]), 6),
            seen in 0_usize..20,
        ) {
            // Declared after the documents were written, so nothing has been refused.
            let mut schema = learned(documents.get(..seen.min(documents.len())).unwrap());
            let declared: Vec<_> = types.iter().zip(["a", "b", "c", "d", "e", "f"]).take(seen % 7).map(|(column_type, name)| {
                ColumnDeclaration { name: name.to_owned(), renamed: None, column_type: column_type.parse().unwrap(), nullable: true }
            }).collect();
            schema.declare(&declared, false).unwrap();
            check(&schema, &documents);
        }
    }

    #[test]
    fn what_has_no_column_is_kept_in_extra() {
        let text = r#"{"id":"d0","a":5.0,"b":null,"A":1,"_x":[1.0],"":2}"#.to_owned();
        let documents = [document(0, text), document(1, r#"{"a":6.1,"id":"d1"}"#.to_owned())];
        let schema = learned(&documents);
        let batch = shred(&schema, &documents);
        assert_eq!(batch.extra.get(0), Some(Scalar::Text(r#"{"":2,"A":1,"_x":[1.0],"a":5.0,"b":null}"#.into())));
        assert_eq!(batch.extra.get(1), None);
        assert_eq!(batch.columns[0].get(0), Some(Scalar::Double(5.0)));
        // `a` is told by its column alone: 5.0 is the same number as 5.
        let stray = ["", "A", "_x"].map(str::to_owned);
        assert_eq!(batch.stray, StrayFields::Some(BTreeSet::from(stray)));
        assert_same(&documents, &rebuild(&schema, &batch, None));
    }

    #[test]
    fn only_wanted_fields_are_rebuilt() {
        let documents = [document(0, r#"{"id":"d0","a":5.0,"b":"x","_x":1,"_y":2}"#.to_owned())];
        let schema = learned(&documents);
        let batch = shred(&schema, &documents);
        assert_eq!(rebuild(&schema, &batch, Some(&["a", "_y"]))[0].text, r#"{"id":"d0","_y":2,"a":5.0}"#);
        assert_eq!(rebuild(&schema, &batch, Some(&[]))[0].text, r#"{"id":"d0"}"#);
    }

    #[test]
    fn a_document_that_is_not_its_own_is_refused() {
        let schema = TableSchema::default();
        for text in [r#"{"id":"other"}"#, "{}", "[]", r#"{"id":1}"#, "{"] {
            assert!(Shredder::new(&schema).push(&document(0, text.to_owned())).is_err(), "{text}");
        }
    }

    #[test]
    fn stray_fields_give_up_naming_at_a_bound() {
        let mut stray = StrayFields::None;
        for number in 0..StrayFields::MAX_NAMES {
            stray.insert(&format!("f{number}"));
        }
        assert!(stray.contains("f0") && !stray.contains("g"));
        stray.insert("f0");
        assert_ne!(stray, StrayFields::Any);
        stray.insert("one more");
        assert!(stray == StrayFields::Any && stray.contains("g"));
        let mut merged = StrayFields::None;
        merged.merge(&stray);
        assert_eq!(merged, StrayFields::Any);
    }
}
