//! The steps: the smallest things that can happen, between any two of which the process can die.

use crate::vocabulary::{Change, Collection, TableName, Time};

/// A choice among what a step could apply to, counted round.
pub type Pick = usize;

#[derive(Clone, Debug)]
pub enum Step {
    Wait(Time),
    /// A client's write of one document or a batch. One that needs no evicted image commits at once, others wait.
    Write(Collection, Vec<Change>),
    /// Fetches one image before for a waiting write.
    Fetch(Pick),
    /// The transaction of a waiting write: it commits if every place is as fetched, else it goes on waiting.
    Finish(Pick),
    Drop(Collection),
    Seal(Pick),
    /// Chooses a month, the fullest first, and how many of its segments: all for 0.
    MergeStart(Pick, usize),
    MergeRead,
    MergeSwap,
    Plan,
    /// Puts one file of the plan.
    Stage,
    Commit,
    /// Gives the plan up; what it may have staged is noted as garbage.
    Abandon,
    Publish(TableName),
    Trim(usize),
    Evict(Pick),
    /// Deletes one thing of SQLite that nothing needs.
    Sweep(Pick),
    /// Deletes one noted object of the bucket, or the note of one that is gone.
    Collect(Pick),
    Crash,
    /// The step's transaction or put fails, and the work it belongs to is given up.
    Failed(Box<Step>),
    /// The step happens, and the process dies before it learns so.
    Lost(Box<Step>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Done,
    /// The step did not apply.
    Idle,
}

/// The chosen one of a list.
pub fn pick<T>(list: Vec<T>, pick: Pick) -> Option<T> {
    let at = pick.checked_rem(list.len())?;
    list.into_iter().nth(at)
}
