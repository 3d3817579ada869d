//! What must hold of a table, by name.

/// What it means that something does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Readers get other rows, or none.
    Error,
    /// Readers get the right rows, perhaps more slowly; something is not as its writer says.
    Warning,
}

macro_rules! invariants {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $severity:ident;)+) => {
        /// What must hold of a table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Invariant {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Invariant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in reports.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What it means when it does not hold.
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => Severity::$severity,)+
                }
            }
        }
    };
}

invariants! {
    /// The version hint is there and holds a number, and the metadata file of that version is there.
    HintNamesMetadata = "the hint names a metadata file", Error;
    /// The metadata file is one of format version 2, with numbers in their ranges.
    MetadataIsReadable = "the metadata is readable", Error;
    /// The metadata's location and UUID are those of this table.
    MetadataIsOfTheTable = "the metadata is of this table", Error;
    /// The current schema, the partition spec, the sort order and the schemas that snapshots name are there.
    MetadataResolves = "what the metadata names is in it", Error;
    /// Fields of the schemas have ids of their own, at most `last-column-id`, and keep their meaning.
    FieldIdsAreStable = "field ids are stable", Error;
    /// Every branch and tag names a kept snapshot, and `main` the current one.
    RefsResolve = "refs resolve", Error;
    /// Snapshots have ids of their own, rising sequence numbers up to the table's, and times that do not run backwards;
    /// those of this program's tables have the one before them for parent, or one that expired.
    SnapshotsAreInOrder = "snapshots are in order", Error;
    /// The snapshot log ends with the current snapshot, and names kept ones in the order of time, without a gap.
    SnapshotLogAgrees = "the snapshot log agrees", Warning;
    /// The metadata log's files are there.
    MetadataLogExists = "earlier metadata is there", Warning;

    /// A snapshot's manifest list is there and is one.
    ManifestListIsReadable = "the manifest list is readable", Error;
    /// A manifest list has each manifest once.
    ManifestsAreListedOnce = "manifests are listed once", Error;
    /// A manifest is there, has the size that its list says, and is one.
    ManifestIsReadable = "the manifest is readable", Error;
    /// A manifest list's counts of files and rows are those of the manifest's entries.
    ManifestCountsAgree = "manifest counts agree", Error;
    /// A manifest's snapshot and sequence numbers fit those of its entries and of the snapshot that lists it.
    ManifestSequenceFits = "manifest sequence numbers fit", Error;
    /// The bounds that a manifest list has of partitions hold for the manifest's entries.
    PartitionSummaryHolds = "partition summaries hold", Error;
    /// A snapshot has each file once.
    FilesAreLiveOnce = "files are live once", Error;
    /// A snapshot has the files of its parent, without those it deletes and with those it adds; where the parent has
    /// expired, no files of its time that an earlier snapshot has not.
    SnapshotFollowsParent = "the snapshot follows its parent", Error;
    /// A snapshot whose operation is `replace` has the rows of its parent.
    ReplaceKeepsRows = "a replace keeps the rows", Error;
    /// The numbers of a snapshot's summary are those of its files, and of this program's tables those of its rows.
    SummaryAgrees = "the summary agrees", Warning;
    /// `thermocline.after-sequence` and `thermocline.sequence` of snapshots one after the other do not overlap, and those
    /// of a `replace`, which archives nothing, are one.
    SequencesFollow = "archived sequences follow each other", Error;

    /// A file of a kept snapshot is there with the size on record.
    FileIsThere = "the file is there", Error;
    /// A file is Parquet with the columns of the table and as many rows as on record.
    FileIsReadable = "the file is readable", Error;
    /// Counts of nulls and NaN, and bounds, hold for the rows.
    MetricsHold = "column metrics hold", Error;
    /// Rows are in the partition that their file is said to be in.
    RowsAreInPartition = "rows are in their partition", Error;
    /// Rows of a file with a sort order are sorted.
    RowsAreSorted = "rows are sorted", Warning;

    /// A position-delete file is sorted by path and position, and names each once.
    DeletesAreSorted = "deletes are sorted", Warning;
    /// A position delete names a row of a data file of the snapshot, to which its delete file applies.
    DeletesNameRows = "deletes name rows", Error;
    /// A month of this program's tables has one delete file at most, as a commit replaces it whole.
    DeletesAreOneFileAMonth = "a month has one delete file", Error;
    /// A state table's live rows have an id each of their own.
    IdsAreUnique = "ids are unique", Error;
    /// A state table's live rows have a version each of their own, up to the snapshot's sequence.
    VersionsAreInRange = "versions are in range", Error;
    /// A change log's rows have a sequence each of their own, within what the snapshot that added them archives.
    ChangesAreInRange = "changes are in range", Error;

    /// The version hint is the published version, or a committed one that is on its way.
    HintIsPublished = "the hint is the published version", Error;
    /// The metadata file of the committed version has the bytes that the committed state makes.
    MetadataIsTheState = "the metadata is the committed state", Error;
    /// The catalogue's files are the live entries of the manifests, its parts have all of their rows, and its totals are
    /// theirs.
    CatalogueAgrees = "the catalogue's files are the table's", Error;
}
