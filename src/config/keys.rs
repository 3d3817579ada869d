//! The table of all keys. A comment is what the documentation says of its key.

use super::checks::{base_uri, endpoint, not_empty, nothing_against, origin};
use super::masking::Masking;
use super::table::Rule::{self, Flag, Names, OneOf, Text, Texts, Within};
use super::table::State::{Fixed, Honoured, Reserved};
use super::table::{Entry, Key, Plain, Setting, groups};

const KIB: i64 = 1_024;
const MIB: i64 = 1_024 * KIB;
const GIB: i64 = 1_024 * MIB;
const DAY_MS: i64 = 86_400_000;
const YEAR_SECS: i64 = 31_536_000;

const EVIDENCE: &str = "evidence that cannot be rewritten";

groups! {
    /// How documents are kept in SQLite.
    hot: HotConfig {
        /// A batch that makes at least so many documents of a collection goes straight to a segment.
        direct_batch "directBatch": usize = 64, Within(1, 65_536), Honoured;
        /// A generation of rows is closed at so many documents, and sealed into a segment; a collection's
        /// `columnar.threshold` goes before it. At most `hot.segmentMaxRows`.
        seal_rows "sealRows": i64 = 1_000, Within(1, 65_536), Honoured;
        /// Or at so many bytes of JSON text. At most `hot.segmentMaxBytes`.
        seal_bytes "sealBytes": i64 = 1_024 * 1_024, Within(KIB, 16 * MIB), Honoured;
        /// A generation is sealed by the alarm when its last write is so old; a collection's `columnar.minAgeMs` goes
        /// before it.
        seal_min_age_ms "sealMinAgeMs": i64 = 2_000, Within(0, DAY_MS), Honoured;
        /// Documents of a segment that is merged or sealed, at most.
        segment_max_rows "segmentMaxRows": usize = 65_536, Within(64, 65_536), Honoured;
        /// Bytes of JSON text of such a segment, at most.
        segment_max_bytes "segmentMaxBytes": usize = 16 * 1_024 * 1_024, Within(64 * KIB, 16 * MIB), Honoured;
        /// Small segments of a collection; with more, merging is due.
        max_unmerged_segments "maxUnmergedSegments": usize = 32, Within(1, 1_000), Honoured;
        /// Size of the database from which on archived segments are evicted, those used longest ago first, down to nine
        /// tenths of it. At most `hot.refuseAboveBytes`.
        evict_above_bytes "evictAboveBytes": u64 = 8_000_000_000, Within(1, 10 * GIB), Honoured;
        /// Size of the database from which on writes answer 507.
        refuse_above_bytes "refuseAboveBytes": u64 = 9_500_000_000, Within(MIB, 10 * GIB), Honoured;
    }
    /// What the isolate's memory is used for.
    memory: MemoryConfig {
        /// Memory of the isolate for all that is kept between requests and built in one; two fifths are for segments' heads
        /// and columns.
        budget_bytes "budgetBytes": usize = 80 * 1_024 * 1_024, Within(8 * MIB, 128 * MIB), Honoured;
    }
    /// When changes are archived, and how long named snapshots are kept.
    snapshots: SnapshotsConfig {
        /// Archiving starts at most this long after the first change that waits.
        flush_delay_ms "flushDelayMs": i64 = 5_000, Within(0, DAY_MS), Honoured;
        /// Or as soon as this much of the change log waits.
        max_pending_bytes "maxPendingBytes": u64 = 8 * 1_024 * 1_024, Within(1, GIB), Honoured;
        /// The alarm publishes at most this often; `POST /sync` does not wait for it.
        publish_interval_ms "publishIntervalMs": i64 = 10_000, Within(0, DAY_MS), Honoured;
        /// Named snapshots that are kept; older ones are deleted, but for those that a kept incremental one needs.
        keep_count "keepCount": usize = 100, Within(1, 200), Honoured;
        /// And for how many days.
        keep_days "keepDays": i64 = 30, Within(1, 36_500), Honoured;
    }
    /// How long the change log stays in SQLite while no bucket is bound.
    cdc: CdcConfig {
        /// Change log that is kept, in bytes.
        max_bytes "maxBytes": u64 = 256 * 1_024 * 1_024, Within(1, 8 * GIB), Honoured;
        /// And for how many days.
        max_age_days "maxAgeDays": i64 = 7, Within(1, 3_650), Honoured;
    }
    /// How tables are laid out in the bucket.
    cold: ColdConfig {
        /// Where engines find the bucket: every location in the tables begins with it. 1 to 512 bytes, no slash at the end.
        /// To be set before the first write: a table keeps the location that it was made with.
        base_uri "baseUri": String = "s3://cold".to_owned(), Text(512, base_uri), Honoured;
        /// The bucket's own S3 endpoint: engines that load a table are sent there, with credentials of their own; without
        /// it they read through the worker. It begins with `https://` or `http://`, has no slash at the end, and no
        /// credentials.
        s3_endpoint "s3Endpoint": Option<String> = None, Text(512, endpoint), Honoured;
        /// The region that they sign for.
        s3_region "s3Region": String = "auto".to_owned(), Text(64, not_empty), Honoured;
        /// Snapshots that a table keeps for reads of the past, the closer together the younger they are; a moment between
        /// two is the older one and the changes after it.
        iceberg_keep_snapshots "icebergKeepSnapshots": usize = 20, Within(1, 1_000), Honoured;
        /// How many days back reads of the past go. At most `objects.expiryDays`.
        iceberg_keep_days "icebergKeepDays": i64 = 7, Within(1, 3_650), Honoured;
        /// The size of a data file that merging aims at; a merged file is built in memory, so it ends at 16 MiB whatever
        /// more is said.
        target_file_bytes "targetFileBytes": u64 = 128 * 1_024 * 1_024, Within(64 * KIB, GIB), Honoured;
        /// How long objects of the bucket stay that no kept snapshot reaches any more, or that an abandoned archiving has
        /// left: engines may still read them.
        orphan_min_age_ms "orphanMinAgeMs": i64 = DAY_MS, Within(0, 365 * DAY_MS), Honoured;
        /// The codec of the Parquet files that are written from now on, see [FORMATS.md](FORMATS.md#parquet-files); files of
        /// both are read whatever it is.
        compression "compression": Compression = Compression::Snappy, OneOf(Compression::NAMES), Honoured;
    }
    /// How the bucket's objects are put, and how long they stay.
    objects: ObjectsConfig {
        /// What the keys of the bucket's objects begin with.
        prefix "prefix": String = String::new(), Text(512, nothing_against),
            Fixed("tables lie at iceberg/{type}/{id}/, which engines and clients rely on; to keep deployments apart give each a bucket");
        /// Whether the bucket's objects are encrypted at rest.
        encryption "encryption": bool = true, Flag,
            Fixed("R2 encrypts every object, and keys of one's own would keep engines from reading the tables");
        /// Data files of months that ended so many days ago are put with R2's class for infrequent access; none are where it
        /// is not set.
        transition_to_infrequent_days "transitionToInfrequentDays": Option<i64> = None, Within(1, 36_500), Honoured;
        /// Days after which events leave the archived change log, and reads of moments before them answer 410.
        expiry_days "expiryDays": i64 = 730, Within(1, 36_500), Honoured;
        /// Larger files are put in parts.
        multipart_threshold_bytes "multipartThresholdBytes": u64 = 16 * 1_024 * 1_024, Within(5 * MIB, 5 * GIB), Honoured;
        /// The size of a part, the last one apart. At most `objects.multipartThresholdBytes`.
        multipart_part_bytes "multipartPartBytes": u64 = 8 * 1_024 * 1_024, Within(5 * MIB, 5 * GIB), Honoured;
    }
    /// How long cached reads live.
    warm: WarmConfig {
        /// How long a cached document lives.
        default_ttl_secs "defaultTtlSecs": u32 = 300, Within(1, YEAR_SECS), Honoured;
        /// How long a value of the class `cache` lives.
        cache_ttl_secs "cacheTtlSecs": u32 = 3_600, Within(1, YEAR_SECS), Honoured;
        /// How long a value of the class `session` lives.
        session_ttl_secs "sessionTtlSecs": u32 = 1_800, Within(1, YEAR_SECS), Honoured;
        /// How long a value of the class `temporary` lives.
        temporary_ttl_secs "temporaryTtlSecs": u32 = 300, Within(1, YEAR_SECS), Honoured;
    }
    /// What one query may cost before it is ended. One that would cost more answers 503 and names the key that it met; one
    /// in the order of ids ends its page there instead.
    query: QueryConfig {
        /// Bytes of documents and columns that it may decode.
        max_decoded_bytes "maxDecodedBytes": u64 = 64 * 1_024 * 1_024, Within(MIB, 16 * GIB), Honoured;
        /// Rows that it may look at.
        max_rows "maxRows": u64 = 10_000_000, Within(1_000, 1_000_000_000), Honoured;
    }
    /// How much is done at once.
    performance: PerformanceConfig {
        /// Documents that an import commits at once, at most; with smaller commits other requests wait less, and more rows are
        /// written.
        batch_size "batchSize": usize = 65_536, Within(1, 65_536), Honoured;
        /// Requests that an object works on at once; one more answers 503 with `Retry-After`. Readers of the change
        /// feed who wait for events, and streams, are not counted.
        max_concurrent_operations "maxConcurrentOperations": usize = 100, Within(1, 10_000), Honoured;
        /// Whether the cache is used: for reads with `consistency=cached`, and for parts of files in the bucket. With `false`
        /// the object answers all reads, the bucket gives all files, and nothing is put there.
        query_caching "queryCaching": bool = true, Flag, Honoured;
        /// Whether the documents of a batch are written together.
        bulk_operations "bulkOperations": bool = true, Flag,
            Fixed("a batch is one transaction, and a large one a few rows; there is no other way to write it");
        /// Whether statements are prepared, and values bound to them.
        prepared_statements "preparedStatements": bool = true, Flag,
            Fixed("no value is ever written into the text of a statement");
    }
    /// What may be asked of an object in a minute. Who has used it up is answered 429, with the time in `Retry-After`; what
    /// was let in is ended. An object counts while it is in memory. There is no limit where none is set.
    budgets: BudgetsConfig {
        /// Requests of one principal.
        token_requests "tokenRequests": Option<i64> = None, Within(1, 1_000_000_000), Honoured;
        /// What the requests of one principal may cost, in millionths of a dollar: rows that SQLite reads and writes, and
        /// calls of the bucket, at list price. It is charged once a request is answered.
        token_cost_micro_usd "tokenCostMicroUsd": Option<i64> = None, Within(1, 1_000_000_000), Honoured;
        /// Requests of all together.
        object_requests "objectRequests": Option<i64> = None, Within(1, 1_000_000_000), Honoured;
        /// What the requests of all together may cost, in millionths of a dollar.
        object_cost_micro_usd "objectCostMicroUsd": Option<i64> = None, Within(1, 1_000_000_000), Honoured;
    }
    /// How long things may take, and what is tried again.
    timeouts: TimeoutsConfig {
        /// A query that is not done after so long answers 503. It is looked at whenever the bucket has answered: during
        /// other work the platform's clock stands still, and `query.maxRows` and `query.maxDecodedBytes` bound it.
        query_ms "queryMs": i64 = 60_000, Within(1, DAY_MS), Honoured;
        /// How often a call of the bucket that failed is tried again: reads, puts that make an object, and parts of one.
        /// What replaces or deletes an object is not: the alarm does it again.
        retries "retries": u32 = 3, Within(0, 10), Honoured;
        /// How long the first of these waits, at most; each further one waits twice as long. By chance up to half of
        /// it is left out. All together less than `timeouts.queryMs`.
        retry_delay_ms "retryDelayMs": u32 = 100, Within(1, 60_000), Honoured;
    }
    /// What is asked of tokens, encryption, and who is told what.
    security: SecurityConfig {
        /// The audience (`aud`) that tokens must be for, see [SECURE.md](SECURE.md); any will do where it is not set.
        token_audience "tokenAudience": Option<String> = None, Text(512, not_empty), Honoured;
        /// How far the clocks of those who issue tokens may be off.
        clock_skew_secs "clockSkewSecs": u32 = 5, Within(0, 600), Honoured;
        /// The origins whose pages may ask, as browsers send them, or `*` for all, see [SECURE.md](SECURE.md#pages-of-other-origins);
        /// with none of them no page of another origin may.
        cors_origins "corsOrigins": Vec<String> = Vec::new(), Texts(64, 256, origin), Honoured;
        /// Whether what is stored is encrypted.
        encryption_at_rest "encryptionAtRest": bool = true, Flag,
            Fixed("the platform encrypts the storage of objects and buckets, and has no switch for it");
        /// Whether what is sent is encrypted.
        encryption_in_transit "encryptionInTransit": bool = true, Flag,
            Fixed("the platform encrypts what goes between worker, object and bucket; that clients use HTTPS is set where the route is");
        /// Whether what is in the bucket, snapshots among it, is encrypted.
        backup_encryption "backupEncryption": bool = true, Flag,
            Fixed("snapshots are objects of the bucket, and R2 encrypts every object");
        /// Whether it is noted who has done what, see [SECURE.md](SECURE.md#the-access-log).
        access_logging "accessLogging": bool = true, Flag, Honoured;
        /// Which fields are hidden, and from whom.
        data_masking "dataMasking": Masking = Masking::default(), Rule::Masking, Honoured;
    }
    /// What nobody may change.
    worm: WormConfig {
        /// Whether the tables of `worm.immutableTables` are guarded.
        enabled "enabled": bool = false, Flag, Reserved(EVIDENCE);
        /// Days for which what is guarded stays. At most `objects.expiryDays`.
        retention_period_days "retentionPeriod": i64 = 730, Within(1, 36_500), Reserved(EVIDENCE);
        /// The tables whose rows are never changed nor deleted.
        immutable_tables "immutableTables": Vec<String> = vec!["collision_log".to_owned()], Names, Reserved(EVIDENCE);
        /// Whether logs are only ever appended to.
        append_only_logs "appendOnlyLogs": bool = true, Flag, Reserved(EVIDENCE);
        /// Days for which the log of accesses stays, and up to thirty more: it is dropped a month at a time. At most
        /// `objects.expiryDays`.
        audit_log_retention_days "auditLogRetention": i64 = 730, Within(1, 36_500), Honoured;
        /// Whether what would break a rule is refused, or only noted.
        compliance_mode "complianceMode": String = "strict".to_owned(), OneOf(&["strict", "lenient"]), Reserved(EVIDENCE);
    }
}

/// A codec of the pages of Parquet files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Snappy.
    #[default]
    Snappy,
    /// Pages as they are.
    None,
}

impl Compression {
    const NAMES: &[&str] = &["snappy", "none"];

    fn name(self) -> &'static str {
        match self {
            Self::Snappy => "snappy",
            Self::None => "none",
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Setting for Compression {
    fn set(&mut self, value: Plain) -> bool {
        let found = [Self::Snappy, Self::None].into_iter().find(|codec| value == Plain::Text(codec.name().to_owned()));
        found.map(|codec| *self = codec).is_some()
    }

    fn value(&self) -> Plain {
        Plain::Text(self.name().to_owned())
    }
}
