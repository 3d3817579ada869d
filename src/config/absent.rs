//! Names that stores of other kinds have, and that mean nothing here: refused with the reason.

/// Keys, and last parts or groups of keys, with why they do not apply.
pub const ABSENT: &[(&[&str], &str)] = &[
    (&["compressionLevel"], "Snappy has no levels; cold.compression chooses between it and none"),
    (
        &["compressionThreshold"],
        "columns get the shortest of their encodings by a sample, however small they are, and the codec of a Parquet file \
         is cold.compression",
    ),
    (&["parallelism"], "an object is one thread, and reads its files one after the other"),
    (&["prefetch"], "statistics tell what a read needs before it begins, so nothing is read on suspicion"),
    (&["transitionToArchiveDays"], "R2 has no class for archives, only the one of objects.transitionToInfrequentDays"),
    (
        &["statementMs", "statementTimeoutMs"],
        "a statement runs to its end within one turn, in which the platform's clock stands still; statements read pages, and \
         the platform ends a request after 30 s of work (limits.cpu_ms in wrangler.toml)",
    ),
    (
        &[
            "pool",
            "poolSize",
            "connectionPool",
            "minConnections",
            "maxConnections",
            "idleTimeoutMs",
            "acquireTimeoutMs",
        ],
        "SQLite is within the object: there are no connections",
    ),
    (
        &["blockCache", "blockCacheBytes", "blockCacheSize", "blockSize", "cacheSize", "pageCache"],
        "SQLite's cache is the platform's; what is kept of segments is bounded by memory.budgetBytes",
    ),
    (
        &["writeBuffer", "writeBufferBytes", "writeBufferSize", "maxWriteBuffers", "memtableBytes"],
        "a write is stored before it is answered; hot.sealRows and hot.sealBytes say when rows become a segment",
    ),
    (&["maxOpenFiles"], "there are no files: the database is one, and segments are rows of it"),
    (&["bloomFilter", "bloomFilterBits"], "filters of ids are made by the number of ids"),
    (
        &["compactionStyle", "compactionThreads", "backgroundThreads"],
        "merging is the alarm's, see hot.maxUnmergedSegments and cold.targetFileBytes",
    ),
];

/// Why a key does not apply here, when it is such a one.
pub fn reason(path: &str) -> Option<&'static str> {
    let (group, last) = (path.split('.').next(), path.rsplit('.').next());
    let is_named = |name: &&str| *name == path || Some(*name) == last || Some(*name) == group;
    ABSENT.iter().find(|(names, _)| names.iter().any(is_named)).map(|(_, reason)| *reason)
}
