//! Which rows of a segment satisfy a condition. Of each part two sets of rows are kept, those for which it holds and
//! those for which it does not; for the others it is unknown.

use super::super::meter::Meter;
use super::plan::{Leaf, Node};
use super::test::Test;
use super::{Field, SegmentScan, Selected, blob};
use crate::error::Result;
use crate::vortex::Bitmap;
use crate::vortex::blob::Predicate;

/// For which rows a part holds, and for which it does not; nothing is said of rows that were not asked about.
struct Outcome {
    yes: Bitmap,
    no: Bitmap,
}

impl SegmentScan<'_> {
    /// The rows that are current and satisfy the condition.
    pub(super) fn select(&mut self, node: &Node<'_>, meter: &mut Meter) -> Result<Selected> {
        let mut rows = self.source.live().clone();
        if !node.always_holds() {
            let mut positions = Vec::new();
            node.positions(&mut positions);
            self.load(positions, meter)?;
            let outcome = self.decide(node, &rows)?;
            rows.intersect(&outcome.yes);
        }
        Ok(Selected::new(rows))
    }

    fn decide(&mut self, node: &Node<'_>, asked: &Bitmap) -> Result<Outcome> {
        let none = || Bitmap::repeated(false, asked.len());
        Ok(match node {
            Node::Known(Some(true)) => Outcome { yes: asked.clone(), no: none() },
            Node::Known(Some(false)) => Outcome { yes: none(), no: asked.clone() },
            Node::Known(None) => Outcome { yes: none(), no: none() },
            Node::Not(part) => {
                let Outcome { yes, no } = self.decide(part, asked)?;
                Outcome { yes: no, no: yes }
            }
            Node::And(parts) => self.decide_all(parts, asked, false)?,
            // One of them holds unless each does not: an `and` with holding and not holding exchanged.
            Node::Or(parts) => {
                let Outcome { yes, no } = self.decide_all(parts, asked, true)?;
                Outcome { yes: no, no: yes }
            }
            Node::Leaf(leaf) => self.decide_leaf(leaf, asked)?,
        })
    }

    fn decide_all(&mut self, parts: &[Node<'_>], asked: &Bitmap, exchanged: bool) -> Result<Outcome> {
        let mut open = asked.clone();
        let mut yes = asked.clone();
        let mut no = Bitmap::repeated(false, asked.len());
        for part in parts {
            let found = self.decide(part, &open)?;
            let (holds, mut not) = if exchanged { (found.no, found.yes) } else { (found.yes, found.no) };
            not.intersect(&open);
            yes.intersect(&holds);
            no.unite(&not);
            open.subtract(&not);
            if open.is_clear() {
                break;
            }
        }
        // Of rows decided before, the later parts said nothing.
        yes.subtract(&no);
        Ok(Outcome { yes, no })
    }

    fn decide_leaf(&mut self, leaf: &Leaf<'_>, asked: &Bitmap) -> Result<Outcome> {
        let position = match (&leaf.field, &leaf.test) {
            (Field::Column(position), Test::Null | Test::NotNull | Test::Never | Test::Every | Test::All(_)) => {
                *position
            }
            _ => return self.decide_by_key(leaf, asked),
        };
        let present = self.matching(position, &Predicate::IsNotNull)?;
        let mut yes = match &leaf.test {
            Test::Never => Bitmap::repeated(false, asked.len()),
            Test::Null => present.inverted(),
            Test::All(predicates) => {
                let mut yes = present.clone();
                for predicate in predicates {
                    yes.intersect(&self.matching(position, predicate)?);
                }
                yes
            }
            Test::NotNull | Test::Every | Test::ByKey => present.clone(),
        };
        // Whether a value is there is known of every row.
        let mut no = match leaf.test {
            Test::Null | Test::NotNull => Bitmap::repeated(true, asked.len()),
            _ => present,
        };
        no.subtract(&yes);
        yes.intersect(asked);
        Ok(Outcome { yes, no })
    }

    fn matching(&mut self, position: usize, predicate: &Predicate<'_>) -> Result<Bitmap> {
        blob(self.source, &self.loaded, position)?.select(position, predicate, &mut self.budget)
    }

    fn decide_by_key(&mut self, leaf: &Leaf<'_>, asked: &Bitmap) -> Result<Outcome> {
        let mut outcome =
            Outcome { yes: Bitmap::repeated(false, asked.len()), no: Bitmap::repeated(false, asked.len()) };
        let selected = Selected::new(asked.clone());
        let keys = self.keys(&leaf.field, &selected)?;
        for (at, row) in selected.positions().into_iter().enumerate() {
            match leaf.comparison.evaluate(&keys.get(at)?) {
                Some(true) => outcome.yes.set(row, true),
                Some(false) => outcome.no.set(row, true),
                None => {}
            }
        }
        Ok(outcome)
    }
}
