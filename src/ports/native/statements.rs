//! What the platform refuses in the text of a statement, checked on tokens before SQLite sees it.
//!
//! The lists are what the runtime was seen to answer. A function that it does not allow is recognised by its name
//! before a parenthesis, so a table of such a name cannot be given a column list here.

use std::collections::HashSet;

/// Statements that SQL cannot run on the platform: it has its own transactions and one database.
const REFUSED_STATEMENTS: [&str; 9] =
    ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "VACUUM"];

/// The pragmas that it runs.
const ALLOWED_PRAGMAS: [&str; 15] = [
    "CASE_SENSITIVE_LIKE",
    "DATA_VERSION",
    "DEFER_FOREIGN_KEYS",
    "FOREIGN_KEYS",
    "FOREIGN_KEY_CHECK",
    "FOREIGN_KEY_LIST",
    "IGNORE_CHECK_CONSTRAINTS",
    "INDEX_INFO",
    "INDEX_LIST",
    "OPTIMIZE",
    "QUICK_CHECK",
    "RECURSIVE_TRIGGERS",
    "TABLE_INFO",
    "TABLE_LIST",
    "TABLE_XINFO",
];

/// The functions that it has and allows.
const ALLOWED_FUNCTIONS: &str = "abs changes char coalesce concat concat_ws format glob hex ifnull iif instr \
    last_insert_rowid length like likelihood likely lower ltrim max min nullif octet_length printf quote random \
    randomblob replace round rtrim sign substr substring total_changes trim typeof unhex unicode unlikely upper \
    zeroblob date time datetime julianday unixepoch strftime timediff current_date current_time current_timestamp \
    avg count group_concat string_agg sum total row_number rank dense_rank percent_rank cume_dist ntile lag lead \
    first_value last_value nth_value acos acosh asin asinh atan atan2 atanh ceil cos cosh degrees exp floor ln log \
    log2 mod pi pow radians sin sinh sqrt tan tanh trunc json jsonb json_array jsonb_array json_array_length \
    json_extract jsonb_extract json_insert jsonb_insert json_object jsonb_object json_patch jsonb_patch json_remove \
    jsonb_remove json_replace jsonb_replace json_set jsonb_set json_type json_valid json_quote json_group_array \
    jsonb_group_array json_group_object jsonb_group_object json_each json_tree match highlight bm25 snippet";

/// Functions of the SQLite here that the platform does not have or does not allow.
pub(super) fn refused_functions(known: impl Iterator<Item = String>) -> HashSet<String> {
    let allowed: HashSet<&str> = ALLOWED_FUNCTIONS.split_whitespace().collect();
    let operators = |name: &String| name.starts_with(|first: char| first.is_ascii_alphabetic());
    known
        .filter(operators)
        .map(|name| name.to_ascii_lowercase())
        .filter(|name| !allowed.contains(name.as_str()))
        .collect()
}

/// Why the platform would not run this statement, if it would not.
pub(super) fn refusal(statement: &str, refused_functions: &HashSet<String>) -> Option<String> {
    let tokens: Vec<Token<'_>> = Tokens { rest: statement }.collect();
    let word = |position: usize| match tokens.get(position) {
        Some(Token::Word(word)) => word.to_ascii_uppercase(),
        _ => String::new(),
    };
    let first = word(0);
    if REFUSED_STATEMENTS.contains(&first.as_str()) {
        return Some(format!("{first} is not for SQL: use SqlStore::transaction, and no other database"));
    }
    if first == "PRAGMA" && !ALLOWED_PRAGMAS.contains(&word(1).as_str()) {
        return Some(format!("PRAGMA {} is not authorised", word(1)));
    }
    if first == "CREATE" && matches!(word(1).as_str(), "TEMP" | "TEMPORARY") {
        return Some("temporary objects are not authorised".to_owned());
    }
    for (position, token) in tokens.iter().enumerate() {
        let called = matches!(tokens.get(position + 1), Some(Token::Symbol('(')));
        match token {
            Token::Word(name) | Token::Quoted(name) if name.to_ascii_lowercase().starts_with("_cf_") => {
                return Some(format!("the name {name} is the platform's own"));
            }
            Token::Word(name) if called && refused_functions.contains(&name.to_ascii_lowercase()) => {
                return Some(format!("the function {name} is not authorised"));
            }
            _ => {}
        }
    }
    None
}

/// A piece of SQL: a bare word, a quoted identifier without its quotes, or one other character.
#[derive(Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Quoted(&'a str),
    Symbol(char),
}

/// Tokens of a statement; strings, numbers' digits, blanks and comments give none.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    /// Takes `length` bytes off the front.
    fn take(&mut self, length: usize) -> &'a str {
        let (front, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        front
    }

    /// Takes what lies before `end` and `end` itself, or everything.
    fn take_through(&mut self, end: &str) -> &'a str {
        let inside = self.rest.find(end).unwrap_or(self.rest.len());
        let front = self.take(inside);
        self.take(end.len());
        front
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.rest = self.rest.trim_start();
            let first = self.rest.chars().next()?;
            if self.rest.starts_with("--") {
                self.take_through("\n");
            } else if self.rest.starts_with("/*") {
                self.take_through("*/");
            } else if first == '\'' {
                // A doubled quote reads as two strings side by side, which is as good here.
                self.take(1);
                self.take_through("'");
            } else if matches!(first, '"' | '`' | '[') {
                let quote = self.take(1);
                return Some(Token::Quoted(self.take_through(if quote == "[" { "]" } else { quote })));
            } else if first.is_alphanumeric() || first == '_' {
                let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
                let length = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
                return Some(Token::Word(self.take(length)));
            } else {
                self.take(first.len_utf8());
                return Some(Token::Symbol(first));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(statement: &str) -> bool {
        let known = ["power", "abs", "sqlite_version", "->>"].map(str::to_owned);
        refusal(statement, &refused_functions(known.into_iter())).is_some()
    }

    #[test]
    fn statements_that_the_platform_refuses_are_refused() {
        for statement in [
            "BEGIN",
            "  -- why\n /* not */ begin immediate",
            "SAVEPOINT a",
            "VACUUM",
            "ATTACH 'x' AS y",
            "CREATE TEMP TABLE t (a)",
            "create temporary view t as select 1",
            "PRAGMA user_version = 1",
            "SELECT * FROM _cf_KV",
            "SELECT * FROM \"_CF_kv\"",
            "SELECT power(2, 3)",
            "SELECT SQLite_Version ()",
        ] {
            assert!(refuses(statement), "{statement}");
        }
    }

    #[test]
    fn ordinary_statements_pass() {
        for statement in [
            "SELECT abs(-1), data ->> '$.power(' FROM t",
            "INSERT INTO t VALUES ('BEGIN; it''s _cf_x power(1)', \"power\")",
            "SELECT power FROM t -- power(",
            "PRAGMA foreign_keys",
            "CREATE TRIGGER t BEFORE DELETE ON a BEGIN SELECT RAISE(ABORT, 'no'); END",
            "SELECT 'unfinished",
            "",
        ] {
            assert!(!refuses(statement), "{statement}");
        }
    }
}
