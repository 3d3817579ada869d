//! Pages that end where the budget does, among documents in the order of an index: each document that is asked for comes
//! once, in its place, whatever the index does not tell apart.

use std::rc::Rc;

use thermocline::error::{ErrorKind, Result};
use thermocline::hot::query::{Budget, OrderKey, Query, QueryAnswer, RowSource, SegmentSource, run_hot};
use thermocline::hot::segment::index_key;
use thermocline::types::{Document, Json};

use super::documents::{documents, split};
use super::model::rows_query;
use super::oracle::Oracle;
use super::random::{Random, plan};
use super::support::query;

const QUERIES: usize = 2_000;

/// Documents as an index gives them whose keys are cut, and some that it has not.
struct InOrder {
    keyed: Vec<(Vec<u8>, Document)>,
    others: Vec<Document>,
    cut: usize,
    given: usize,
}

fn key(value: &OrderKey, cut: usize) -> Vec<u8> {
    let mut bytes = index_key::encode([value]);
    bytes.truncate(cut);
    bytes
}

impl InOrder {
    fn new(query: &Query, rows: &[Document], cut: usize, mut is_other: impl FnMut() -> bool) -> Self {
        let order = &query.order_by[0];
        let value = |document: &Document| OrderKey::of(order.path.find(&Json::parse(&document.text).unwrap()));
        let (others, rows): (Vec<Document>, Vec<Document>) = rows.iter().cloned().partition(|_| is_other());
        let mut keyed: Vec<(Vec<u8>, Document)> =
            rows.into_iter().map(|document| (key(&value(&document), cut), document)).collect();
        keyed.sort_by(|left, right| left.0.cmp(&right.0).then_with(|| left.1.id.cmp(&right.1.id)));
        if order.descending {
            keyed.reverse();
        }
        Self { keyed, others, cut, given: 0 }
    }

    /// The same from a cursor on.
    fn after(&self, query: &Query) -> Self {
        let from = query.after.as_ref().map(|after| key(&after[0], self.cut));
        let is_before = |stored: &Vec<u8>| {
            from.as_ref().is_some_and(|from| if query.order_by[0].descending { stored > from } else { stored < from })
        };
        let keyed = self.keyed.iter().filter(|(stored, _)| !is_before(stored)).cloned().collect();
        Self { keyed, others: self.others.clone(), cut: self.cut, given: 0 }
    }

    fn largest_group(&self) -> usize {
        self.keyed.chunk_by(|left, right| left.0 == right.0).map(<[_]>::len).max().unwrap_or(0)
    }
}

impl RowSource for InOrder {
    fn page_after(&mut self, after: Option<&str>) -> Result<Vec<Document>> {
        let rest = self.others.iter().filter(|document| after.is_none_or(|after| document.id.as_str() > after));
        Ok(rest.take(3).cloned().collect())
    }

    fn is_in_order(&self) -> bool {
        true
    }

    fn next_in_order(&mut self, limit: usize) -> Result<Vec<Document>> {
        let rest = self.keyed.iter().skip(self.given).take(limit.min(5));
        let page: Vec<Document> = rest.map(|(_, document)| document.clone()).collect();
        self.given += page.len();
        Ok(page)
    }

    fn are_alike(&self, left: &OrderKey, right: &OrderKey) -> bool {
        key(left, self.cut) == key(right, self.cut)
    }
}

/// All pages, and how many there were.
fn walk(
    query: &Query,
    budget: Budget,
    segments: &[Rc<dyn SegmentSource>],
    rows: &InOrder,
) -> Result<(Vec<String>, usize)> {
    let (mut query, mut found) = (query.clone(), Vec::new());
    for pages in 1..1_000 {
        let QueryAnswer { rows, next, .. } = run_hot(&query, budget, segments, &mut rows.after(&query))?;
        found.extend(rows);
        let Some(next) = next else { return Ok((found, pages)) };
        assert_ne!(query.after.as_ref(), Some(&next), "a page goes on");
        query.after = Some(next);
    }
    panic!("a walk that does not end");
}

fn id(row: &str) -> String {
    match Json::parse(row).unwrap().get("id") {
        Some(Json::String(id)) => id.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pages_that_end_by_the_budget_lose_and_repeat_nothing() {
    let (seed, cases) = plan("pauses", QUERIES);
    let (mut walked, mut pages, mut refused) = (0, 0, 0);
    for case in 0..cases as u64 {
        let case_seed = seed.wrapping_add(case);
        let mut random = Random::new(case_seed);
        let count = random.below(60);
        let all = documents(&mut random, count);
        let mut hot = split(&mut random, &all);
        if random.chance(60) {
            hot.segments.clear();
            hot.rows.0 = all.clone();
        }
        let json = rows_query(&mut random);
        let query = query(&json);
        if query.order_by.is_empty() {
            continue;
        }
        let (cut, share) = (1 + random.below(12), random.below(20));
        let rows = InOrder::new(&query, &hot.rows.0, cut, || random.chance(share));
        let budget = Budget { max_rows: 3 + random.below(40) as u64, max_bytes: u64::MAX };
        let segments: Vec<Rc<dyn SegmentSource>> =
            hot.segments.iter().map(|segment| Rc::clone(segment) as Rc<dyn SegmentSource>).collect();
        let context = format!("QUERY_SEED={case_seed} cut {cut}, {} rows {json}", budget.max_rows);
        match walk(&query, budget, &segments, &rows) {
            Ok((found, of)) => {
                let ids: Vec<String> = found.iter().map(|row| id(row)).collect();
                assert_eq!(ids, Oracle::new(&all).ids(&query), "{context}");
                (walked, pages) = (walked + 1, pages + of);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{context}: {error}");
                let most = rows.largest_group().max(rows.others.len()) as u64;
                assert!(most > budget.max_rows || !segments.is_empty(), "{context}: {error}");
                refused += 1;
            }
        }
    }
    println!("pauses: {walked} walks of {pages} pages, {refused} refused");
    assert!(walked > refused, "{walked} of {refused}");
}
