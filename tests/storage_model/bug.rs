//! Rules that can be broken on purpose, to show that the invariants notice.

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A row that is sealed stays in its generation of rows.
    SealKeepsRows,
    /// No generation is sealed inline, however many are closed.
    NoInlineSeal,
    /// A direct batch leaves the older versions of its documents where they are.
    DirectLeavesOlder,
    /// A write that waited for the cold tier believes that its documents are where they were.
    WriteWithoutRecheck,
    /// The swap of a merge uses the bitmaps of the merge's start.
    MergeForgetsDeletions,
    /// A merge takes segments of several months.
    MergeMixesMonths,
    /// A merged segment lists its inputs, but not what they list.
    ListNotInherited,
    /// A merge reads an evicted input of which every row is deleted.
    MergeReadsSpent,
    /// A segment is deleted while one that it supersedes is still there.
    SweepUncovers,
    /// Superseded segments are deleted though log records refer to them.
    SweepIgnoresLog,
    /// Superseded segments are deleted though the plan names them.
    SweepIgnoresPlan,
    /// The rows of a dropped collection are deleted though the log refers to them.
    DropReleasesRows,
    /// A segment is evicted before a commit says which file has its rows.
    EvictBeforeCommit,
    /// Staging takes the rows as they are, and does not undo later changes.
    StageWithoutUndo,
    /// Staging takes the bitmaps as they are, not the plan's copies.
    StageWithLaterBitmaps,
    /// A commit keeps the tail files of the commit before it.
    TailNotReplaced,
    /// Records are trimmed before their events are published.
    TrimBeyondArchive,
    /// An object is deleted while the published table still lists it.
    CollectIgnoresPublished,
    /// An object is deleted though an evicted segment has its rows only there.
    CollectIgnoresStubs,
}
