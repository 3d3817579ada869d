//! An object that has archived over two months, with three snapshots kept, and a copy of its bucket for each test.

use thermocline::cold::catalog::{ColdCatalog, TableId};
use thermocline::cold::fsck::{CatalogueView, Check, Depth, Report, check};
use thermocline::cold::read::{Expected, Table};
use thermocline::cold::{LiveFile, TableKind, TableState};
use thermocline::config::HotConfig;
use thermocline::hot::HotStore;
use thermocline::ports::native::{MemoryBucket, World, run};

use super::support::Object;
use super::support::archive::settle;

/// The folder of the state table.
pub const STATE: &str = "iceberg/demo/1/movies";
/// The folder of the change log.
pub const CHANGES: &str = "iceberg/demo/1/movies__changes";

/// What the object says of a table.
#[derive(Clone)]
pub struct Committed {
    pub state: TableState,
    pub published: i64,
    pub files: Vec<LiveFile>,
}

/// The bucket and the catalogue.
pub struct Scenario {
    pub bucket: MemoryBucket,
    pub state: Committed,
    pub changes: Committed,
    /// The documents, by the object's own answer.
    pub documents: Vec<serde_json::Value>,
    /// How many events there were.
    pub events: usize,
}

/// What a walk of `folder` finds.
pub fn fsck(bucket: &MemoryBucket, folder: &str, committed: Option<&Committed>) -> Report {
    let view = committed.map(|committed| CatalogueView {
        state: &committed.state,
        published: committed.published,
        files: &committed.files,
    });
    let asked = Check { folder, depth: Depth::Rows, expected: Expected::default(), catalogue: view.as_ref() };
    run(check(bucket, &asked)).done().expect("the walk ends")
}

pub fn open(bucket: &MemoryBucket, folder: &str) -> Table {
    run(Table::open(bucket, folder, Expected::default())).done().unwrap().unwrap()
}

impl Scenario {
    /// What there is of the collection `movies`, once all is archived.
    pub fn of(world: &World) -> Self {
        let object = Object::wake(world);
        let documents = object.rows("movies", r#"{"limit":1000}"#);
        let events = object.feed(1_000).len();
        let ports = world.ports();
        let catalog = ColdCatalog::new(ports.sql.clone());
        let hot = HotStore::new(ports.sql.clone(), HotConfig::default(), 1 << 24);
        let collection = hot.catalog().unwrap().all().iter().find(|found| &*found.name == "movies").unwrap().id;
        let committed = |kind| {
            let id = TableId { collection, kind };
            let record = catalog.table(id).unwrap().unwrap();
            let files = catalog.files(id, record.state.version).unwrap().into_iter().map(|file| file.file).collect();
            Committed { state: record.state, published: record.published, files }
        };
        Self {
            bucket: world.bucket.clone(),
            state: committed(TableKind::State),
            changes: committed(TableKind::Changes),
            documents,
            events,
        }
    }

    /// A copy to break: the bucket's objects are its own.
    pub fn copy(&self) -> MemoryBucket {
        let copy = MemoryBucket::new();
        for key in self.bucket.keys() {
            copy.overwrite(&key, self.bucket.object(&key).unwrap().bytes);
        }
        copy
    }
}

/// Two archivings forty days apart, and a third at once, all kept; documents of both months, some changed and some deleted.
/// Those of the first month are one segment, so that they stay in a file of parts, with a delete file from the second
/// archiving on.
pub fn scenario() -> Scenario {
    let world = World::new(7).unwrap();
    let object = Object::wake_with(&world, r#"{"hot":{"directBatch":8}}"#);
    object.ok(
        "PUT",
        "/collections/movies",
        r#"{"columns":[{"name":"price","type":"decimal(9,2)"},{"name":"at","type":"timestamp"}]}"#,
    );
    let lines: Vec<_> = (0..20)
        .map(|n| {
            let nan = if n % 3 == 0 { "null" } else { "0.5" };
            format!(
                r#"{{"id":"m{n:02}","n":{n},"s":"text {n}","x":{nan},"price":{n}.50,"at":"2024-02-29T12:00:00.000Z"}}"#
            )
        })
        .collect();
    object.import("movies", &lines.join("\n"));
    settle(&world);
    world.clock.advance(40 * 86_400_000);
    for n in 0..5 {
        object.ok("PATCH", &format!("/collections/movies/docs/m0{n}"), r#"{"n":7,"s":null}"#);
        assert_eq!(object.json("DELETE", &format!("/collections/movies/docs/m1{n}"), "").0, 204);
    }
    settle(&world);
    for n in 20..22 {
        object.ok("PUT", &format!("/collections/movies/docs/m{n}"), &format!(r#"{{"n":{n},"s":"late","x":0.5}}"#));
    }
    settle(&world);
    Scenario::of(&world)
}
