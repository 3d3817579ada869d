//! Segments and rows in memory, and queries from their JSON.

use std::cell::RefCell;
use std::rc::Rc;

use thermocline::error::Result;
use thermocline::hot::query::{
    Aggregate, AggregateFunction, Budget, Comparison, FieldPath, Filter, Operand, Operands, OrderBy, OrderKey, Query,
    QueryAnswer, RowSource, SegmentSource, run_hot,
};
use thermocline::hot::segment::ColumnBytes;
use thermocline::types::{Document, Json};
use thermocline::vortex::blob::{BlobIndex, BlobWriter, EncodeOptions, Opened};
use thermocline::vortex::infer::observe;
use thermocline::vortex::{Bitmap, ColumnDeclaration, Shredder, StrayFields, TableSchema};

pub const BUDGET: Budget = Budget { max_rows: u64::MAX, max_bytes: u64::MAX };

/// A segment in memory that notes what is loaded of it.
pub struct MemorySegment {
    blob: Rc<[u8]>,
    index: BlobIndex,
    stray: StrayFields,
    live: Bitmap,
    pub loads: RefCell<Vec<Vec<usize>>>,
}

impl MemorySegment {
    /// Of documents in the order of ids; those of `dead` are deleted.
    pub fn new(schema: &TableSchema, documents: &[Document], dead: &[usize]) -> Self {
        let mut shredder = Shredder::new(schema);
        documents.iter().for_each(|document| shredder.push(document).unwrap());
        let batch = shredder.take();
        let mut writer = BlobWriter::new(EncodeOptions::default());
        writer.push("id", &batch.ids).unwrap();
        writer.push("_seq", &batch.sequences).unwrap();
        writer.push("_ts", &batch.timestamps).unwrap();
        for (definition, column) in schema.columns().iter().zip(&batch.columns) {
            writer.push(&definition.name, column).unwrap();
        }
        writer.push("_extra", &batch.extra).unwrap();
        let blob: Rc<[u8]> = writer.finish().unwrap().into();
        let Opened::Index(index) = BlobIndex::open(&blob, blob.len()).unwrap() else { panic!("the whole blob") };
        let mut live = Bitmap::repeated(true, documents.len());
        dead.iter().for_each(|row| live.set(*row, false));
        Self { blob, index, stray: batch.stray, live, loads: RefCell::default() }
    }

    pub fn loaded(&self) -> Vec<String> {
        let names = |position: &usize| self.index.columns()[*position].name.clone();
        self.loads.borrow().iter().flatten().map(names).collect()
    }
}

impl SegmentSource for MemorySegment {
    fn index(&self) -> &BlobIndex {
        &self.index
    }

    fn stray(&self) -> &StrayFields {
        &self.stray
    }

    fn live(&self) -> &Bitmap {
        &self.live
    }

    fn load(&self, positions: &[usize]) -> Result<ColumnBytes> {
        self.loads.borrow_mut().push(positions.to_vec());
        let mut bytes = ColumnBytes::default();
        for position in positions {
            bytes.insert(*position, Rc::clone(&self.blob), self.index.columns()[*position].range());
        }
        Ok(bytes)
    }
}

/// Documents in row form, some at a time.
#[derive(Clone, Default)]
pub struct MemoryRows(pub Vec<Document>);

impl RowSource for MemoryRows {
    fn page_after(&mut self, after: Option<&str>) -> Result<Vec<Document>> {
        let rest = self.0.iter().filter(|document| after.is_none_or(|after| document.id.as_str() > after));
        Ok(rest.take(7).cloned().collect())
    }
}

pub fn document(id: &str, text: &str) -> Document {
    Document { id: id.to_owned(), sequence: 1, timestamp: 1_709_251_199_999, text: text.to_owned() }
}

/// Documents from lines of JSON that have an id.
pub fn documents(lines: &[&str]) -> Vec<Document> {
    let of = |line: &&str| {
        let Some(Json::String(id)) = Json::parse(line).unwrap().get("id").cloned() else { panic!("an id") };
        document(&id, line)
    };
    let mut all: Vec<Document> = lines.iter().map(of).collect();
    all.sort_by(|left, right| left.id.cmp(&right.id));
    all
}

/// What documents teach, and what is declared over it.
pub fn learned(documents: &[Document], declared: &[(&str, &str)]) -> TableSchema {
    let mut schema = TableSchema::default();
    documents.iter().for_each(|document| {
        observe(&mut schema, &Json::parse(&document.text).unwrap());
    });
    let declarations = declared.iter().map(|(name, column_type)| ColumnDeclaration {
        name: (*name).to_owned(),
        renamed: None,
        column_type: column_type.parse().unwrap(),
        nullable: true,
    });
    schema.declare(&declarations.collect::<Vec<_>>(), true).unwrap();
    schema
}

/// A hot collection: segments and rows.
#[derive(Default)]
pub struct Hot {
    pub segments: Vec<Rc<MemorySegment>>,
    pub rows: MemoryRows,
}

impl Hot {
    pub fn rows(documents: &[Document]) -> Self {
        Self { segments: Vec::new(), rows: MemoryRows(documents.to_vec()) }
    }

    /// One segment of documents.
    pub fn segment(documents: &[Document], declared: &[(&str, &str)]) -> Self {
        let segment = MemorySegment::new(&learned(documents, declared), documents, &[]);
        Self { segments: vec![Rc::new(segment)], rows: MemoryRows::default() }
    }

    pub fn try_run(&self, query: &Query, budget: Budget) -> Result<QueryAnswer> {
        let segments: Vec<Rc<dyn SegmentSource>> =
            self.segments.iter().map(|segment| Rc::clone(segment) as Rc<dyn SegmentSource>).collect();
        run_hot(query, budget, &segments, &mut self.rows.clone())
    }

    pub fn run(&self, query: &Query) -> QueryAnswer {
        self.try_run(query, BUDGET).unwrap()
    }

    /// All pages, each of as many rows as the query says.
    pub fn walk(&self, query: &Query, budget: Budget) -> Result<Vec<String>> {
        let mut query = query.clone();
        let mut rows = Vec::new();
        loop {
            let answer = self.try_run(&query, budget)?;
            assert!(answer.rows.len() <= query.limit);
            rows.extend(answer.rows);
            let Some(next) = answer.next else { return Ok(rows) };
            // Cursors travel as JSON.
            let next: Vec<OrderKey> = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
            assert_ne!(query.after.as_ref(), Some(&next), "a page goes on");
            query.after = Some(next);
        }
    }
}

fn text<'v>(value: &'v Json<'_>) -> &'v str {
    let Json::String(text) = value else { panic!("a string, got {value:?}") };
    text
}

fn items<'v, 'j>(value: &'v Json<'j>) -> &'v [Json<'j>] {
    let Json::Array(items) = value else { panic!("an array, got {value:?}") };
    items
}

/// A query from its JSON, as far as tests write it.
pub fn query(json: &str) -> Query {
    let parsed = Json::parse(json).unwrap();
    let Json::Object(members) = &parsed else { panic!("an object") };
    let mut query = Query { limit: 1_000, ..Query::default() };
    let paths = |value: &Json<'_>| items(value).iter().map(|path| FieldPath::new(text(path))).collect::<Vec<_>>();
    for (name, value) in members {
        match name.as_ref() {
            "select" => query.select = Some(paths(value)),
            "where" => query.filter = Some(filter(value)),
            "groupBy" => query.group_by = paths(value),
            "aggregates" => query.aggregates = items(value).iter().map(aggregate).collect(),
            "orderBy" => query.order_by = items(value).iter().map(order).collect(),
            "limit" => query.limit = value.to_text().parse().unwrap(),
            other => panic!("{other}"),
        }
    }
    query
}

fn order(value: &Json<'_>) -> OrderBy {
    let descending = value.get("direction").is_some_and(|direction| text(direction) == "desc");
    OrderBy { path: FieldPath::new(text(value.get("column").unwrap())), descending }
}

fn aggregate(value: &Json<'_>) -> Aggregate {
    let function = match text(value.get("fn").unwrap()) {
        "count" => AggregateFunction::Count,
        "sum" => AggregateFunction::Sum,
        "avg" => AggregateFunction::Avg,
        "min" => AggregateFunction::Min,
        "max" => AggregateFunction::Max,
        _ => AggregateFunction::CountDistinct,
    };
    let column = value.get("column").map(|column| FieldPath::new(text(column)));
    Aggregate { name: text(value.get("as").unwrap()).to_owned(), function, column }
}

fn filter(value: &Json<'_>) -> Filter {
    let Json::Object(members) = value else { panic!("a condition") };
    let mut all = Vec::new();
    for (name, value) in members {
        match (name.as_ref(), value) {
            ("and", Json::Array(parts)) => all.push(Filter::And(parts.iter().map(filter).collect())),
            ("or", Json::Array(parts)) => all.push(Filter::Or(parts.iter().map(filter).collect())),
            ("not", part) => all.push(Filter::Not(Box::new(filter(part)))),
            (field, Json::Object(comparisons)) => {
                let compare = |(operator, value): &(_, _)| {
                    Filter::Compare(FieldPath::new(field), comparison(AsRef::<str>::as_ref(operator), value))
                };
                all.extend(comparisons.iter().map(compare));
            }
            other => panic!("{other:?}"),
        }
    }
    if all.len() == 1 { all.remove(0) } else { Filter::And(all) }
}

fn comparison(operator: &str, value: &Json<'_>) -> Comparison {
    let operand = |value: &Json<'_>| Operand(OrderKey::of(Some(value)));
    match operator {
        "eq" => Comparison::Eq(operand(value)),
        "ne" => Comparison::Ne(operand(value)),
        "lt" => Comparison::Lt(operand(value)),
        "lte" => Comparison::Lte(operand(value)),
        "gt" => Comparison::Gt(operand(value)),
        "gte" => Comparison::Gte(operand(value)),
        "in" => Comparison::In(Operands::new(items(value).iter().map(operand).collect())),
        "between" => Comparison::Between(operand(&items(value)[0]), operand(&items(value)[1])),
        "prefix" => Comparison::Prefix(text(value).to_owned()),
        "isNull" => Comparison::IsNull(*value == Json::Bool(true)),
        other => panic!("{other}"),
    }
}
