//! What [`NativeSql`] promises, above all where it must be as strict as the platform.

use super::*;

fn store() -> NativeSql {
    let sql = NativeSql::in_memory().unwrap();
    sql.query("CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER, data) WITHOUT ROWID", &[]).unwrap();
    sql
}

fn insert(sql: &NativeSql, id: &str) -> Result<()> {
    sql.query("INSERT INTO t (id) VALUES (?)", &[SqlParam::Text(id)]).map(drop)
}

fn ids(sql: &NativeSql) -> Vec<String> {
    let rows = sql.query("SELECT id FROM t ORDER BY id", &[]).unwrap();
    rows.into_iter().map(|mut row| crate::ports::expect_text(row.pop()).unwrap()).collect()
}

#[test]
fn values_make_the_round_trip() {
    let sql = store();
    let max = crate::limits::SQL_MAX_EXACT_INTEGER;
    let params = [
        SqlParam::Null,
        SqlParam::Integer(-max),
        SqlParam::Text("a\0é"),
        SqlParam::Blob(&[0, 255]),
        SqlParam::Blob(&[]),
    ];
    let rows = sql.query("SELECT ?, CAST(? AS INTEGER), ?, ?, ?, 1.5, 2.0", &params).unwrap();
    let expected = vec![
        SqlValue::Null,
        SqlValue::Integer(-max),
        SqlValue::Text("a\0é".to_owned()),
        SqlValue::Blob(vec![0, 255]),
        SqlValue::Blob(vec![]),
        SqlValue::Real(1.5),
        SqlValue::Integer(2),
    ];
    assert_eq!(rows, [expected]);
}

#[test]
fn integers_arrive_as_reals_as_on_the_platform() {
    let sql = store();
    let rows = sql.query("SELECT typeof(?), typeof(CAST(? AS INTEGER))", &[SqlParam::Integer(1), SqlParam::Integer(1)]);
    assert_eq!(rows.unwrap(), [[SqlValue::Text("real".to_owned()), SqlValue::Text("integer".to_owned())]]);
    sql.query("INSERT INTO t VALUES ('a', ?, ?)", &[SqlParam::Integer(1), SqlParam::Integer(1)]).unwrap();
    let rows = sql.query("SELECT typeof(n), typeof(data) FROM t", &[]).unwrap();
    assert_eq!(rows, [[SqlValue::Text("integer".to_owned()), SqlValue::Text("real".to_owned())]]);
    for value in [i64::MAX, i64::MIN, crate::limits::SQL_MAX_EXACT_INTEGER + 1] {
        assert!(sql.query("SELECT ?", &[SqlParam::Integer(value)]).is_err(), "{value}");
    }
}

#[test]
fn the_platforms_limits_hold() {
    let sql = store();
    let big = vec![0; SQL_VALUE_MAX_BYTES + 1];
    assert!(sql.query("INSERT INTO t VALUES ('a', 1, ?)", &[SqlParam::Blob(&big)]).is_err());
    let list = |count: usize| format!("SELECT 1 WHERE 1 IN ({})", vec!["?"; count].join(","));
    sql.query(&list(100), &[SqlParam::Null; 100]).unwrap();
    assert!(sql.query(&list(101), &[SqlParam::Null; 101]).is_err());
    assert!(sql.query(&format!("SELECT 1 /*{}*/", "x".repeat(100_000)), &[]).is_err());
    assert!(sql.query(&format!("SELECT {}", vec!["1"; 101].join(",")), &[]).is_err());
    assert!(sql.query(&format!("SELECT {}", vec!["1"; 101].join("+")), &[]).is_err());
    assert!(sql.query(&["SELECT 1"; 6].join(" UNION ALL "), &[]).is_err());
    assert!(sql.query("SELECT 'a' LIKE ?", &[SqlParam::Text(&"a".repeat(51))]).is_err());
    assert!(sql.query("SELECT ?", &[]).is_err(), "too few values");
    assert!(sql.query("SELECT 1", &[SqlParam::Null]).is_err(), "too many values");
    assert!(sql.query("SELECT 1; SELECT 2", &[]).is_err(), "one statement at a time");
    for refused in ["BEGIN", "PRAGMA user_version", "SELECT sqlite_version()", "SELECT if(1, 2, 3)"] {
        assert_eq!(sql.query(refused, &[]).unwrap_err().kind(), ErrorKind::Internal, "{refused}");
    }
    assert!(sql.query("SELECT octet_length('a'), json_group_array(1) -> 0", &[]).is_ok());
    let foreign_keys = sql.query("PRAGMA foreign_keys", &[]).unwrap();
    assert_eq!(foreign_keys, [[SqlValue::Integer(1)]]);
}

#[test]
fn an_error_rolls_everything_back_and_comes_out_unchanged() {
    let sql = store();
    let failed = sql.transaction(&mut || {
        insert(&sql, "a")?;
        insert(&sql, "b")?;
        Err(StorageError::new(ErrorKind::Conflict, StorageTier::Hot, "test", "as it was"))
    });
    let error = failed.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Conflict, "as it was"));
    assert!(ids(&sql).is_empty());
    // The connection is usable, and a failed statement in the middle undoes the rest too.
    assert!(sql.transaction(&mut || insert(&sql, "a").and_then(|()| insert(&sql, "a"))).is_err());
    assert!(ids(&sql).is_empty());
    sql.transaction(&mut || insert(&sql, "a")).unwrap();
    assert_eq!(ids(&sql), ["a"]);
}

#[test]
fn transactions_nest() {
    let sql = store();
    sql.transaction(&mut || {
        insert(&sql, "outer")?;
        let inner = sql.transaction(&mut || {
            insert(&sql, "inner")?;
            sql.transaction(&mut || insert(&sql, "innermost"))?;
            Err(StorageError::new(ErrorKind::Conflict, StorageTier::Hot, "test", "inner"))
        });
        assert!(inner.is_err());
        sql.transaction(&mut || insert(&sql, "second"))
    })
    .unwrap();
    assert_eq!(ids(&sql), ["outer", "second"]);
    let outer = sql.transaction(&mut || {
        sql.transaction(&mut || insert(&sql, "third"))?;
        Err(StorageError::new(ErrorKind::Conflict, StorageTier::Hot, "test", "outer"))
    });
    assert!(outer.is_err());
    assert_eq!(ids(&sql), ["outer", "second"], "an inner commit goes with its outer transaction");
}

#[test]
fn rows_are_counted_where_both_counts_agree() {
    let sql = store();
    let start = sql.counters();
    let counted = |statement: &str| {
        let before = sql.counters();
        sql.query(statement, &[]).unwrap();
        let SqlCounters { rows_read, rows_written } = sql.counters().since(before);
        (rows_read, rows_written)
    };
    assert_eq!(counted("INSERT INTO t (id) VALUES ('a')"), (0, 1));
    assert_eq!(counted("INSERT INTO t (id) VALUES ('b'), ('c'), ('d')"), (0, 3));
    assert_eq!(counted("INSERT INTO t (id) VALUES ('a') ON CONFLICT (id) DO UPDATE SET n = 9").1, 1);
    assert_eq!(counted("SELECT id FROM t").0, 4);
    assert_eq!(counted("SELECT id FROM t WHERE n = 9").0, 4);
    assert_eq!(counted("SELECT id FROM t WHERE id = 'b'").0, 1);
    assert_eq!(counted("DELETE FROM t WHERE id = 'b'").1, 1);
    assert_eq!(counted("DROP TABLE t").1, 0);
    assert_eq!(sql.reopened().counters(), SqlCounters::default());
    assert_ne!(sql.counters(), start);
}

#[test]
fn a_new_instance_finds_the_same_storage() {
    let sql = store();
    insert(&sql, "a").unwrap();
    assert_eq!(ids(&sql.reopened()), ["a"]);

    let path = std::env::temp_dir().join(format!("thermocline-native-sql-{}.sqlite", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let file = NativeSql::open(&path).unwrap();
    file.query("CREATE TABLE t (id TEXT PRIMARY KEY) WITHOUT ROWID", &[]).unwrap();
    insert(&file, "b").unwrap();
    drop(file);
    assert_eq!(ids(&NativeSql::open(&path).unwrap()), ["b"]);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_full_database_says_so_and_stays_whole() {
    let sql = store();
    let size = sql.size_bytes();
    assert!(size > 0);
    sql.limit_size(size + 100_000).unwrap();
    let fill = || {
        for number in 0..100 {
            let params = [SqlParam::Integer(number), SqlParam::Blob(&[7; 10_000])];
            sql.query("INSERT INTO t VALUES ('fill' || ?, 0, ?)", &params)?;
        }
        Ok(())
    };
    assert_eq!(sql.transaction(&mut || fill()).unwrap_err().kind(), ErrorKind::Full);
    assert!(ids(&sql).is_empty());
    insert(&sql, "small").unwrap();
    assert_eq!(ids(&sql), ["small"]);
}
