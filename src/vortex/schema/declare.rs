//! How the columns of a table change by declaration: added, widened, renamed, put in another order, dropped.
//!
//! A declaration goes by the documents' field, which a column has for ever; its name in the table may change. A field that
//! was dropped and is declared again has a new column, under a new field id.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{COLUMN_NAME_MAX_BYTES, ColumnDeclaration, Origin, TableColumn, TableSchema, fold, may_be_column};
use crate::error::{ErrorKind, Result, StorageError};
use crate::limits::TABLE_MAX_COLUMNS;
use crate::types::StorageTier;
use crate::types::names::quoted;
use crate::types::sorting;

impl ColumnDeclaration {
    /// The column's name in the table.
    pub fn table_name(&self) -> &str {
        self.renamed.as_ref().unwrap_or(&self.name)
    }
}

impl TableSchema {
    /// Makes `declared` the complete list of declared columns, in this order and before all others.
    ///
    /// A column that was declared and is not in the list is dropped; one that is new is added; one that stays may be
    /// widened, renamed and made nullable. A declared field takes over the inferred column of that field, under a new field
    /// id when the types differ. While `empty` (no document was ever there) anything may change. A field that was dropped
    /// and comes back gets a new field id. Returns whether anything changed; on an error nothing has.
    pub fn declare(&mut self, declared: &[ColumnDeclaration], empty: bool) -> Result<bool> {
        if empty {
            check_declarations(declared)?;
        } else {
            self.check_names(declared)?;
        }
        let mut next = self.clone();
        let places: HashMap<&str, usize> =
            (0..).zip(declared).map(|(place, other)| (other.name.as_str(), place)).collect();
        let place = |column: &TableColumn| places.get(column.name.as_str()).copied();
        let (fields, names) = folded(declared);
        next.columns.retain(|column| {
            let in_the_way =
                || fields.contains_key(&fold(&column.name)) || names.contains_key(&fold(column.table_name()));
            place(column).is_some() || !(column.is_declared() || in_the_way())
        });
        for (position, declaration) in declared.iter().enumerate() {
            next.declare_one(declaration, empty).map_err(|detail| conflict(position, detail))?;
        }
        if next.columns.len() > TABLE_MAX_COLUMNS {
            let message = format!(
                "expected at most {TABLE_MAX_COLUMNS} columns, inferred ones included, got {}",
                next.columns.len()
            );
            return Err(StorageError::new(ErrorKind::Invalid, StorageTier::Api, "declare columns", message));
        }
        sorting::sort_by_key(&mut next.columns, |column| place(column).unwrap_or(usize::MAX));
        next.index();
        let changed = next.columns != self.columns;
        *self = next;
        Ok(changed)
    }

    /// Declares what columns that files have values of, those with the ids in `fixed`, leave room for. Such a column stays
    /// under its id where the declarations would take it away or give it a type that its values are not of: engines find
    /// values by the id. What is declared instead has no column as long as that is so, and a column whose new name such a
    /// one has keeps the name it had. New columns for which there is no room beside all of these have to wait for it too.
    pub fn declare_around(&mut self, declared: &[ColumnDeclaration], fixed: &BTreeSet<i32>) -> Result<bool> {
        let becomes = |column: &TableColumn| {
            let same = declared.iter().find(|declaration| declaration.name == column.name);
            same.is_some_and(|declaration| column.column_type.widens_to(declaration.column_type))
        };
        let (mut fields, mut names) = (HashSet::new(), HashSet::new());
        let staying = self.columns.iter_mut().filter(|column| fixed.contains(&column.id) && !becomes(column));
        for column in staying {
            fields.insert(fold(&column.name));
            names.insert(fold(column.table_name()));
            column.nullable = true;
            if column.is_declared() {
                column.origin = Origin::Inferred { fits: 1, misfits: 0, mixed: false };
            }
        }
        let mut rest: Vec<(usize, ColumnDeclaration)> = declared.iter().cloned().enumerate().collect();
        rest.retain(|(_, declaration)| !fields.contains(&fold(&declaration.name)));
        let mut settled = Vec::new();
        let taken = |names: &HashSet<String>, rest: &[(usize, ColumnDeclaration)]| {
            rest.iter().position(|(_, declaration)| names.contains(&fold(declaration.table_name())))
        };
        while let Some(position) = taken(&names, &rest) {
            let (place, mut declaration) = rest.remove(position);
            if let Some(column) = self.column(&declaration.name) {
                names.insert(fold(column.table_name()));
                declaration.renamed = column.renamed.clone();
                settled.push((place, declaration));
            }
        }
        settled.append(&mut rest);
        sorting::sort_by_key(&mut settled, |(place, _)| *place);
        let all: Vec<ColumnDeclaration> = settled.into_iter().map(|(_, declaration)| declaration).collect();
        self.declare(&all, true).or_else(|_| self.declare(&self.with_room(all), true))
    }

    /// The declarations of columns that there are, and as many others as surely have room beside all that may stay.
    fn with_room(&self, mut declared: Vec<ColumnDeclaration>) -> Vec<ColumnDeclaration> {
        let known: HashSet<&str> = declared.iter().map(|declaration| declaration.name.as_str()).collect();
        let stays = |column: &&TableColumn| !column.is_declared() || known.contains(column.name.as_str());
        let mut room = TABLE_MAX_COLUMNS.saturating_sub(self.columns.iter().filter(stays).count());
        declared.retain(|declaration| {
            let is_there = self.position(&declaration.name).is_some();
            let fits = is_there || room > 0;
            room = room.saturating_sub(usize::from(!is_there));
            fits
        });
        declared
    }

    /// Takes columns away, by their fields and by their ids, whatever files have of them. The fields get no other column
    /// from documents.
    pub fn drop_columns(&mut self, fields: &[String], ids: &[i32]) {
        self.columns.retain(|column| !fields.contains(&column.name) && !ids.contains(&column.id));
        self.dropped = fields.to_vec();
        self.index();
    }

    /// Refuses names that cannot be, and those by which a column would be called as another is that is not declared.
    pub fn check_names(&self, declared: &[ColumnDeclaration]) -> Result<()> {
        check_declarations(declared)?;
        let (fields, names) = folded(declared);
        for column in &self.columns {
            let Some(place) = names.get(&fold(column.table_name())) else { continue };
            let same_field = fields.get(&fold(&column.name)) == Some(place);
            if !same_field && !declared.iter().any(|other| other.name == column.name) {
                let name = quoted(column.table_name());
                let detail = "choose another name, or rename or drop that column";
                return Err(conflict(*place, format!("another column is called {name}; {detail}")));
            }
        }
        Ok(())
    }

    fn declare_one(&mut self, declaration: &ColumnDeclaration, empty: bool) -> std::result::Result<(), String> {
        let ColumnDeclaration { name, renamed, column_type, nullable } = declaration;
        let id = self.last_column_id.saturating_add(1);
        let fresh = || TableColumn {
            id,
            name: name.clone(),
            renamed: renamed.clone(),
            column_type: *column_type,
            nullable: *nullable,
            origin: Origin::Declared,
        };
        match self.columns.iter_mut().find(|column| column.name == *name) {
            None if *nullable || empty => self.columns.push(fresh()),
            None => {
                return Err(format!(
                    "a new column of a collection that had documents must be nullable, got {name:?} that is not"
                ));
            }
            Some(column) => {
                if column.nullable && !nullable && !empty {
                    return Err(format!("column {name:?} is nullable and can only stay so"));
                }
                if column.column_type.widens_to(*column_type) {
                    *column = TableColumn { id: column.id, ..fresh() };
                    return Ok(());
                }
                if column.is_declared() && !empty {
                    return Err(format!(
                        "column {name:?} is {} and cannot become {column_type}: int widens to long, float to double, a decimal to more digits before the point",
                        column.column_type
                    ));
                }
                *column = fresh();
            }
        }
        self.last_column_id = id;
        Ok(())
    }
}

/// The places of declarations by their fields, and by their names in the table, but for case.
fn folded(declared: &[ColumnDeclaration]) -> (HashMap<String, usize>, HashMap<String, usize>) {
    let fields = declared.iter().map(|declaration| fold(&declaration.name));
    let names = declared.iter().map(|declaration| fold(declaration.table_name()));
    (fields.zip(0..).collect(), names.zip(0..).collect())
}

fn check_declarations(declared: &[ColumnDeclaration]) -> Result<()> {
    let (mut fields, mut names) = (HashSet::new(), HashSet::new());
    for (position, declaration) in declared.iter().enumerate() {
        let (field, name) = (declaration.name.as_str(), declaration.table_name());
        check_name(name, &mut names).map_err(|detail| invalid(position, "name", detail))?;
        let key = if declaration.renamed.is_some() { "field" } else { "name" };
        check_name(field, &mut fields).map_err(|detail| invalid(position, key, detail))?;
    }
    Ok(())
}

/// Refuses what can be no column's name, and what differs from those `seen` by case alone.
fn check_name(name: &str, seen: &mut HashSet<String>) -> std::result::Result<(), String> {
    if !may_be_column(name) {
        return Err(format!(
            "expected 1 to {COLUMN_NAME_MAX_BYTES} bytes without control characters that do not begin with _ and are not id, got {}",
            quoted(name)
        ));
    }
    if !seen.insert(fold(name)) {
        return Err(format!("expected names that differ by more than case, got {} again", quoted(name)));
    }
    Ok(())
}

fn invalid(position: usize, key: &str, detail: String) -> StorageError {
    StorageError::new(ErrorKind::Invalid, StorageTier::Api, "declare columns", "a column's name is not valid")
        .at(format!("/columns/{position}/{key}"), detail)
}

fn conflict(position: usize, detail: String) -> StorageError {
    StorageError::new(ErrorKind::Conflict, StorageTier::Api, "declare columns", "a column cannot be changed that way")
        .at(format!("/columns/{position}"), detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Json;
    use crate::vortex::infer::observe;

    fn declaration(name: &str, column_type: &str, nullable: bool) -> ColumnDeclaration {
        ColumnDeclaration { name: name.to_owned(), renamed: None, column_type: column_type.parse().unwrap(), nullable }
    }

    /// A nullable column of longs under another name than its field's.
    fn renamed(field: &str, name: &str) -> ColumnDeclaration {
        ColumnDeclaration { renamed: Some(name.to_owned()), ..declaration(field, "long", true) }
    }

    fn long(field: &str) -> ColumnDeclaration {
        declaration(field, "long", true)
    }

    fn described(schema: &TableSchema) -> Vec<String> {
        let column = |column: &TableColumn| {
            let required = if column.nullable { "" } else { " required" };
            let renamed = column.renamed.as_ref().map(|name| format!("={name}")).unwrap_or_default();
            format!("{} {}{renamed} {}{required}", column.id, column.name, column.column_type)
        };
        schema.columns().iter().map(column).collect()
    }

    #[test]
    fn declared_columns_evolve_as_the_spec_allows() {
        let mut schema = TableSchema::default();
        assert!(
            schema.declare(&[declaration("a", "int", false), declaration("b", "decimal(5,2)", true)], true).unwrap()
        );
        assert_eq!(described(&schema), ["5 a int required", "6 b decimal(5,2)"]);
        assert!(
            !schema.declare(&[declaration("a", "int", false), declaration("b", "decimal(5,2)", true)], false).unwrap()
        );
        schema
            .declare(
                &[
                    declaration("a", "long", true),
                    declaration("b", "decimal(9,2)", true),
                    declaration("c", "date", true),
                ],
                false,
            )
            .unwrap();
        assert_eq!(described(&schema), ["5 a long", "6 b decimal(9,2)", "7 c date"]);
        schema.declare(&[declaration("c", "date", true)], false).unwrap();
        schema.declare(&[declaration("a", "string", true), declaration("c", "date", true)], false).unwrap();
        assert_eq!(described(&schema), ["8 a string", "7 c date"]);
    }

    #[test]
    fn columns_that_files_have_values_of_stay_under_their_ids() {
        let declared = [declaration("a", "int", false), declaration("b", "long", true), declaration("c", "date", true)];
        let mut schema = TableSchema::default();
        schema.declare(&declared, true).unwrap();
        let after = |fixed: &[i32], declared: &[ColumnDeclaration]| {
            let mut schema = schema.clone();
            schema.declare_around(declared, &fixed.iter().copied().collect()).unwrap();
            described(&schema)
        };
        assert_eq!(after(&[5, 6, 7], &declared), described(&schema), "what is declared as before stays as it is");
        assert_eq!(
            after(&[5], &[declaration("a", "long", false)]),
            ["5 a long required"],
            "wider is under the same id"
        );
        assert_eq!(after(&[], &[declaration("c", "date", true)]), ["7 c date"]);
        assert_eq!(after(&[5], &[declaration("c", "date", true)]), ["7 c date", "5 a int"], "taken away");
        assert_eq!(after(&[6], &[declaration("b", "string", true)]), ["6 b long"], "of another type");
        assert_eq!(
            after(&[6], &[declaration("B", "string", true)]),
            ["6 b long"],
            "by a name that only case tells apart"
        );
        assert_eq!(after(&[7], &[declaration("B", "string", true)]), ["8 B string", "7 c date"]);
    }

    #[test]
    fn other_alterations_conflict_and_change_nothing() {
        let mut schema = TableSchema::default();
        schema.declare(&[declaration("a", "long", true), declaration("b", "float", true)], true).unwrap();
        let before = schema.clone();
        for bad in [
            declaration("a", "int", true),
            declaration("a", "long", false),
            declaration("a", "double", true),
            declaration("c", "int", false),
        ] {
            let error = schema.declare(&[declaration("b", "double", true), bad], false).unwrap_err();
            assert_eq!((error.kind(), error.fields()[0].pointer.as_str()), (ErrorKind::Conflict, "/columns/1"));
            assert_eq!(schema, before);
        }
    }

    #[test]
    fn names_that_engines_could_confuse_are_refused() {
        for bad in ["", "_a", "id", "ID", "a\u{0}", "a\tb", &"x".repeat(256)] {
            let error = TableSchema::default().declare(&[declaration(bad, "int", true)], true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
        }
        let twice = [declaration("A", "int", true), declaration("a", "int", true)];
        assert_eq!(TableSchema::default().declare(&twice, true).unwrap_err().fields()[0].pointer, "/columns/1/name");
        let many: Vec<_> =
            (0..=TABLE_MAX_COLUMNS).map(|number| declaration(&format!("c{number}"), "int", true)).collect();
        assert_eq!(TableSchema::default().declare(&many, true).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_declaration_takes_over_what_was_inferred() {
        let mut schema = TableSchema::default();
        observe(&mut schema, &Json::parse(r#"{"id":"x","a":1,"B":1,"c":1}"#).unwrap());
        assert_eq!(described(&schema), ["5 a long", "6 B long", "7 c long"]);
        schema
            .declare(
                &[declaration("a", "long", true), declaration("b", "long", true), declaration("c", "date", true)],
                false,
            )
            .unwrap();
        assert_eq!(described(&schema), ["5 a long", "8 b long", "9 c date"]);
        assert!(schema.columns().iter().all(TableColumn::is_declared));
    }

    #[test]
    fn a_column_keeps_its_id_under_another_name_and_in_another_place() {
        let mut schema = TableSchema::default();
        schema.declare(&[long("a"), long("b"), long("c")], true).unwrap();
        schema.declare(&[renamed("c", "last"), long("a"), long("b")], false).unwrap();
        assert_eq!(described(&schema), ["7 c=last long", "5 a long", "6 b long"]);
        schema.declare(&[renamed("a", "b"), renamed("b", "a"), long("c")], false).unwrap();
        assert_eq!(described(&schema), ["5 a=b long", "6 b=a long", "7 c long"], "swapped");
        assert_eq!(schema.column("a").unwrap().id, 5, "a column is found by the documents' field");
        let stored = serde_json::to_string(&schema).unwrap();
        assert!(stored.starts_with(r#"{"format":2,"#), "{stored}");
        assert_eq!(serde_json::from_str::<TableSchema>(&stored).unwrap(), schema);
    }

    #[test]
    fn another_column_s_name_is_taken() {
        let mut schema = TableSchema::default();
        schema.declare(&[long("a")], true).unwrap();
        observe(&mut schema, &Json::parse(r#"{"id":"x","b":1}"#).unwrap());
        let before = schema.clone();
        let error = schema.declare(&[renamed("a", "B")], false).unwrap_err();
        assert_eq!((error.kind(), error.fields()[0].pointer.as_str()), (ErrorKind::Conflict, "/columns/0"));
        assert_eq!(schema, before);
        schema.declare(&[renamed("a", "B"), renamed("b", "c")], false).unwrap();
        assert_eq!(described(&schema), ["5 a=B long", "6 b=c long"]);
        // The field b would be confused with the column B, and so would the field C with the column c.
        assert!(!schema.has_room_for("C") && !schema.has_room_for("A") && schema.has_room_for("d"));
        for (twice, pointer) in [
            ([renamed("a", "x"), renamed("b", "X")], "/columns/1/name"),
            ([renamed("a", "x"), renamed("A", "y")], "/columns/1/field"),
            ([long("a"), renamed("b", "_b")], "/columns/1/name"),
        ] {
            let error = schema.declare(&twice, false).unwrap_err();
            assert_eq!((error.kind(), error.fields()[0].pointer.as_str()), (ErrorKind::Invalid, pointer));
        }
    }

    #[test]
    fn a_name_that_files_have_meanwhile_stays_theirs() {
        let mut schema = TableSchema::default();
        schema.declare(&[long("a"), long("b"), long("d")], true).unwrap();
        observe(&mut schema, &Json::parse(r#"{"id":"x","c":1}"#).unwrap());
        let around = |declared: &[ColumnDeclaration], fixed: &[i32]| {
            let mut schema = schema.clone();
            schema.declare_around(declared, &fixed.iter().copied().collect()).unwrap();
            described(&schema)
        };
        let all = [5, 6, 7, 8];
        let chain = [renamed("a", "c"), renamed("b", "a"), renamed("d", "e")];
        assert_eq!(around(&chain, &all), ["5 a long", "6 b long", "7 d=e long", "8 c long"]);
        assert_eq!(around(&chain, &[]), ["5 a=c long", "6 b=a long", "7 d=e long"]);
        assert_eq!(around(&[renamed("a", "c"), renamed("new", "a")], &[5, 8]), ["5 a long", "8 c long"]);
    }

    #[test]
    fn new_columns_wait_for_room_beside_those_that_stay() {
        let names = |prefix: &str| (0..300).map(|n| long(&format!("{prefix}{n}"))).collect::<Vec<_>>();
        let mut schema = TableSchema::default();
        schema.declare(&names("a"), true).unwrap();
        let fixed = schema.columns().iter().map(|column| column.id).collect();
        let declared: Vec<_> = names("b").into_iter().chain([long("a7")]).collect();
        schema.declare_around(&declared, &fixed).unwrap();
        assert_eq!(schema.columns().len(), TABLE_MAX_COLUMNS);
        assert!(schema.column("b199").is_some() && schema.column("b200").is_none());
        assert_eq!(schema.column("a7").map(|column| (column.id, column.is_declared())), Some((12, true)));
        schema.declare_around(&declared, &BTreeSet::new()).unwrap();
        assert_eq!(described(&schema).len(), TABLE_MAX_COLUMNS, "what was declared once is inferred now, and stays");
        schema.drop_columns(&(0..300).filter(|n| *n != 7).map(|n| format!("a{n}")).collect::<Vec<_>>(), &[]);
        schema.declare_around(&declared, &BTreeSet::new()).unwrap();
        assert_eq!(schema.columns().len(), 301, "and follow once there is some");
    }

    #[test]
    fn a_dropped_field_comes_back_as_another_column() {
        let mut schema = TableSchema::default();
        schema.declare(&[long("a"), long("b")], true).unwrap();
        observe(&mut schema, &Json::parse(r#"{"id":"x","c":1}"#).unwrap());
        schema.drop_columns(&["a".to_owned(), "c".to_owned()], &[]);
        assert_eq!(described(&schema), ["6 b long"]);
        observe(&mut schema, &Json::parse(r#"{"id":"x","a":1,"c":1,"d":1}"#).unwrap());
        assert_eq!(described(&schema), ["6 b long", "8 d long"], "what is dropped is not inferred");
        schema.declare(&[declaration("a", "string", true), long("b")], false).unwrap();
        assert_eq!(described(&schema), ["9 a string", "6 b long", "8 d long"]);
        schema.drop_columns(&[], &[9]);
        observe(&mut schema, &Json::parse(r#"{"id":"x","a":1,"c":1}"#).unwrap());
        assert_eq!(described(&schema), ["6 b long", "8 d long", "10 a long", "11 c long"]);
    }
}
