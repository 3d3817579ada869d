//! A Worker over a bucket that a test fills by hand.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::Value;
use thermocline::config::StorageConfig;
use thermocline::error::{ErrorKind, Result, StorageError};
use thermocline::http::access::{Access, AccessVariables};
use thermocline::http::edge::{Decision, Edge};
use thermocline::ports::message::{Body, RequestHead, Response};
use thermocline::ports::native::{ManualClock, MemoryBucket, NativeSignatures, World, run};
use thermocline::ports::{
    EdgePorts, FolderPage, ObjectFolders, ObjectMetadata, ObjectStore, PutCondition, PutOutcome, StoredObject,
};
use thermocline::types::StorageTier;

/// The bytes of each data file: 0 to 99.
pub fn data() -> Vec<u8> {
    (0..100).collect()
}

/// The Worker, and what is behind it.
pub struct Front {
    pub bucket: MemoryBucket,
    pub clock: Rc<ManualClock>,
    world: World,
    edge: Edge,
}

impl Front {
    /// A Worker that is open to everyone, with this `STORAGE_CONFIG`.
    pub fn new(config: &str) -> Self {
        Self::with(config, &open(None), true)
    }

    pub fn with(config: &str, access: &AccessVariables, bound: bool) -> Self {
        let world = World::new(1).unwrap();
        let edge = edge(&world, config, access, bound);
        Self { bucket: world.bucket.clone(), clock: Rc::clone(&world.clock), world, edge }
    }

    /// Another isolate over the same bucket.
    pub fn again(&self, config: &str, access: &AccessVariables) -> Edge {
        edge(&self.world, config, access, true)
    }

    /// Another isolate, whose bucket fails every so often.
    pub fn flaky(&self, config: &str, failing: &Rc<Cell<usize>>) -> Edge {
        let bucket = FlakyBucket { inner: self.bucket.clone(), failing: Rc::clone(failing) };
        edge_over(Some(Rc::new(bucket)), &self.world, config, &open(None))
    }

    /// Puts a table's hint, metadata and one data file, in the folder `iceberg/{table}`.
    pub fn publish(&self, table: &str, version: i64) {
        self.put_metadata(table, version);
        self.bucket.overwrite(&format!("iceberg/{table}/data/year=2026/month=01/0-0.parquet"), data());
        self.bucket.overwrite(&format!("iceberg/{table}/metadata/version-hint.text"), version.to_string());
    }

    pub fn put_metadata(&self, table: &str, version: i64) {
        let metadata = format!(
            "{{\"format-version\":2,\"location\":\"s3://cold/iceberg/{table}\",\"current-snapshot-id\":9007199254740993,\"x\":1.0}}"
        );
        self.bucket.overwrite(&format!("iceberg/{table}/metadata/v{version}.metadata.json"), metadata);
    }

    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        ask(&self.edge, &self.bucket, method, target, headers)
    }

    pub fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[])
    }

    /// The session token that loading a table gives out.
    pub fn token(&self, namespace: &str, table: &str) -> String {
        let loaded = self.get(&format!("/iceberg/v1/namespaces/{namespace}/tables/{table}"));
        loaded.json()["config"]["s3.session-token"].as_str().unwrap().to_owned()
    }
}

/// A bucket whose next reads fail, so many of them.
struct FlakyBucket {
    inner: MemoryBucket,
    failing: Rc<Cell<usize>>,
}

impl FlakyBucket {
    fn check(&self) -> Result<()> {
        let Some(left) = self.failing.get().checked_sub(1) else { return Ok(()) };
        self.failing.set(left);
        Err(StorageError::new(ErrorKind::Unavailable, StorageTier::Cold, "read bucket", "the bucket is away"))
    }
}

#[async_trait(?Send)]
impl ObjectStore for FlakyBucket {
    async fn put(
        &self,
        _key: &str,
        _bytes: &[u8],
        _condition: PutCondition<'_>,
        _metadata: &ObjectMetadata,
    ) -> Result<PutOutcome> {
        panic!("the Worker writes nothing")
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
        self.check()?;
        self.inner.get(key, range).await
    }

    async fn delete(&self, _keys: &[String]) -> Result<()> {
        panic!("the Worker deletes nothing")
    }
}

#[async_trait(?Send)]
impl ObjectFolders for FlakyBucket {
    async fn folders(&self, prefix: &str, limit: u32, cursor: Option<&str>) -> Result<FolderPage> {
        self.check()?;
        self.inner.folders(prefix, limit, cursor).await
    }
}

/// Everything open to everyone, with this secret.
pub fn open(secret: Option<&str>) -> AccessVariables {
    AccessVariables { mode: Some("off".to_owned()), secret: secret.map(str::to_owned), jwks: None }
}

fn edge(world: &World, config: &str, access: &AccessVariables, bound: bool) -> Edge {
    let bucket = bound.then(|| -> Rc<dyn ObjectFolders> { Rc::new(world.bucket.clone()) });
    edge_over(bucket, world, config, access)
}

fn edge_over(bucket: Option<Rc<dyn ObjectFolders>>, world: &World, config: &str, access: &AccessVariables) -> Edge {
    let ports =
        EdgePorts { cache: Rc::new(world.cache.clone()), bucket, clock: world.clock.clone(), ids: world.ids.clone() };
    let config = StorageConfig::parse(config).unwrap();
    let signatures = Rc::new(NativeSignatures);
    let access = Access::new(access.clone(), &config.security, signatures, world.clock.clone()).unwrap();
    Edge::new(ports, &config, access).unwrap()
}

/// Sends a request to a Worker.
pub fn ask(edge: &Edge, bucket: &MemoryBucket, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let head = RequestHead {
        method: method.to_owned(),
        origin: "https://worker.example".to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let mut response = run(async {
        match edge.decide(&head, &mut edge.begin(&head)).await {
            Decision::Respond(response) => response,
            Decision::Read(read) => read.serve(bucket).await,
            Decision::Forward { name, .. } => panic!("{target} went to the object {}", name.path()),
        }
    })
    .done()
    .expect("an answer");
    let Body::Stream(source) = &mut response.body else { return Answer { response, body: None } };
    let chunk = run(source.next_chunk()).done().expect("a chunk").unwrap();
    response.body.clear();
    Answer { response, body: Some(chunk.unwrap_or_default()) }
}

/// What came back.
pub struct Answer {
    pub response: Response,
    /// The body that is passed on from the bucket.
    pub body: Option<Vec<u8>>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.response.status
    }

    pub fn header(&self, name: &str) -> &str {
        self.response.header(name).unwrap_or_default()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(self.response.body.bytes()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The answer is an error of the Iceberg REST specification.
    pub fn refused(&self, status: u16, exception: &str) {
        assert_eq!(self.status(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/json");
        let error = &self.json()["error"];
        assert_eq!((error["code"].as_u64(), error["type"].as_str()), (Some(u64::from(status)), Some(exception)));
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
    }

    /// The answer is an error of S3.
    pub fn refused_by_s3(&self, status: u16, code: &str) {
        assert_eq!(self.status(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/xml");
        assert!(self.body.is_none());
        assert!(self.text().contains(&format!("<Error><Code>{code}</Code><Message>")), "{}", self.text());
    }
}
