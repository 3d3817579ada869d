//! Tables of which snapshots between kept ones have expired, one tagged, and the change log's files merged.

use serde_json::{Value, json};
use thermocline::cold::fsck::Invariant::{self, *};
use thermocline::ports::native::{World, run};
use thermocline::vortex::Scalar;

use super::broken::{Break, assert_told_of, rewrite_added};
use super::edit::{edit_list, edit_metadata, lists, metadata, newest};
use super::scenario::{CHANGES, STATE, Scenario, fsck};
use super::support::Object;

const KEEP_FOUR: &str = r#"{"hot":{"directBatch":4},"cold":{"icebergKeepSnapshots":4}}"#;

/// Archivings an hour apart, some without a change of the table; the last one makes so many files of the change log that
/// they are merged at once.
fn thinned() -> Scenario {
    let world = World::new(11).unwrap();
    // One instance: what is to be merged is known to the one that archived it.
    let object = Object::wake_with(&world, KEEP_FOUR);
    for round in 0..11 {
        match round {
            0 => {
                let lines = (0..9).map(|n| format!("{{\"id\":\"m{n}\",\"n\":{n}}}\n"));
                object.import("movies", &lines.collect::<String>());
            }
            4 | 6 | 9 => drop(object.ok("PUT", "/collections/people/docs/a", &format!("{{\"n\":{round}}}"))),
            _ => {
                for id in ["m0", &format!("m{}", round % 9)] {
                    object.ok("PUT", &format!("/collections/movies/docs/{id}"), &format!("{{\"n\":{}}}", -round));
                }
            }
        }
        while let Some(due) = world.alarm.at_ms().filter(|due| *due < world.ports().clock.now_ms() + 3_600_000) {
            let due = due.max(world.ports().clock.now_ms());
            world.clock.set(due);
            assert!(world.alarm.take_due(due));
            run(object.service.engine().alarm()).done().unwrap().unwrap().unwrap();
        }
        world.clock.advance(3_600_000);
    }
    Scenario::of(&world)
}

/// The numbers of a summary's `thermocline.after-sequence` and `thermocline.sequence`.
fn archived(snapshot: &Value) -> (i64, i64) {
    let number = |name: &str| snapshot["summary"][name].as_str().unwrap().parse().unwrap();
    (number("thermocline.after-sequence"), number("thermocline.sequence"))
}

#[test]
fn gaps_tags_and_merged_files_are_clean() {
    let whole = thinned();
    for (folder, committed, deletes) in [(STATE, &whole.state, 2), (CHANGES, &whole.changes, 0)] {
        let report = fsck(&whole.bucket, folder, Some(committed));
        assert!(report.is_clean(), "{:#?}", report.findings);
        let found = metadata(&whole.bucket, folder);
        let log = found["snapshot-log"].as_array().unwrap().len();
        assert!(report.counts.snapshots == 4 && log < 4, "{log} of {:?}", report.counts);
        assert_eq!(report.counts.delete_files, deletes);
        let [.., before, last] = found["snapshots"].as_array().unwrap().as_slice() else { panic!() };
        assert_eq!(last["parent-snapshot-id"], before["snapshot-id"]);
        let ((after, through), (_, reached)) = (archived(last), archived(before));
        if folder == CHANGES {
            assert_eq!((last["summary"]["operation"].as_str(), after, through), (Some("replace"), reached, reached));
        } else {
            assert!(after > reached, "an archiving in between left the table as it was");
        }
        let bucket = whole.copy();
        edit_metadata(&bucket, folder, |metadata| {
            let first = metadata["snapshots"][0]["snapshot-id"].clone();
            metadata["refs"]["year-end"] = json!({"snapshot-id": first, "type": "tag"});
        });
        assert!(fsck(&bucket, folder, None).is_clean());
    }
}

const BREAKS: &[(&[Invariant], Break)] = &[
    // Another text in one of the merged rows.
    (&[ReplaceKeepsRows], |bucket| {
        rewrite_added(bucket, CHANGES, |rows| rows[3][3] = Some(Scalar::Text("other".into())));
    }),
    // A snapshot that appends and says that it replaces.
    (&[ReplaceKeepsRows, SequencesFollow], |bucket| {
        edit_metadata(bucket, CHANGES, |metadata| {
            metadata["snapshots"][2]["summary"]["operation"] = json!("replace");
        });
    }),
    (&[SequencesFollow], |bucket| {
        edit_metadata(bucket, CHANGES, |metadata| {
            let summary = &mut newest(metadata)["summary"];
            summary["thermocline.sequence"] = json!("99");
        });
    }),
    // No parent, where it is kept and where it has expired; a kept one beyond the gap.
    (&[SnapshotsAreInOrder, SnapshotLogAgrees], |bucket| {
        edit_metadata(bucket, CHANGES, |metadata| {
            drop(newest(metadata).as_object_mut().unwrap().remove("parent-snapshot-id"));
        });
    }),
    (&[SnapshotsAreInOrder], |bucket| {
        edit_metadata(bucket, CHANGES, |metadata| {
            drop(metadata["snapshots"][1].as_object_mut().unwrap().remove("parent-snapshot-id"));
        });
    }),
    (&[SnapshotsAreInOrder, SnapshotLogAgrees, SnapshotFollowsParent], |bucket| {
        edit_metadata(bucket, CHANGES, |metadata| {
            metadata["snapshots"][1]["parent-snapshot-id"] = metadata["snapshots"][0]["snapshot-id"].clone();
        });
    }),
    // A log that leaves a gap out.
    (&[SnapshotLogAgrees], |bucket| {
        edit_metadata(bucket, CHANGES, |metadata| {
            let first = &metadata["snapshots"][0];
            let entry = json!({"snapshot-id": first["snapshot-id"], "timestamp-ms": first["timestamp-ms"]});
            metadata["snapshot-log"].as_array_mut().unwrap().insert(0, entry);
        });
    }),
    // What the first snapshot has not, but the next kept one has from its time.
    (&[SnapshotFollowsParent], |bucket| {
        edit_list(bucket, &lists(bucket, CHANGES)[0], |records| records.clear());
        edit_metadata(bucket, CHANGES, |metadata| {
            let summary = metadata["snapshots"][0]["summary"].as_object_mut().unwrap();
            summary.retain(|name, _| !name.starts_with("added-") && !name.starts_with("total-"));
        });
    }),
];

#[test]
fn what_is_broken_beside_a_gap_is_told_by_its_name() {
    let told = assert_told_of(&thinned(), CHANGES, BREAKS);
    assert!(told.contains(&ReplaceKeepsRows));
}
