//! Puts in parts over the bucket in memory, with each of its calls failing.

use super::super::native::{Fault, FaultPlan, MemoryBucket, World, run};
use super::*;
use crate::ports::{ObjectStore, Retries, Retrying, StorageClass};

const MIB: usize = 1024 * 1024;
const SIZES: PartSizes = PartSizes { threshold_bytes: 6 * MIB, part_bytes: 5 * MIB };

const TRIES: usize = 3;

fn in_parts(objects: Rc<dyn ObjectStore>) -> InParts {
    InParts::new(objects, SIZES)
}

/// The same, and what may be repeated is, as in an engine.
fn repeated(objects: Rc<dyn ObjectStore>, world: &World) -> InParts {
    let ports = world.ports();
    let retries = Retries { count: 2, delay_ms: 100 };
    in_parts(Rc::new(Retrying::new(objects, ports.clock, ports.ids, retries)))
}

fn content(bytes: usize) -> Vec<u8> {
    (0..=250).cycle().take(bytes).collect()
}

fn metadata() -> ObjectMetadata {
    let custom = vec![("doId", "1".to_owned())];
    ObjectMetadata { content_type: "text/plain", storage_class: StorageClass::InfrequentAccess, custom }
}

fn put(objects: &InParts, key: &str, bytes: &[u8]) -> Result<PutOutcome> {
    let stalled = || StorageError::new(ErrorKind::Internal, StorageTier::Cold, "test", "expected the put to end");
    run(objects.put(key, bytes, PutCondition::IfAbsent, &metadata())).done().unwrap_or_else(|| Err(stalled()))
}

#[test]
fn only_what_is_above_the_threshold_is_put_in_parts() {
    let bucket = MemoryBucket::new();
    let objects = in_parts(Rc::new(bucket.clone()));
    for (key, bytes, parts) in
        [("at", 6 * MIB, 0), ("above", 6 * MIB + 1, 2), ("whole", 10 * MIB, 2), ("odd", 11 * MIB, 3)]
    {
        let before = bucket.counts();
        assert!(matches!(put(&objects, key, &content(bytes)).unwrap(), PutOutcome::Written { .. }));
        let counts = bucket.counts();
        assert_eq!((counts.parts - before.parts, counts.completed - before.completed), (parts, u64::from(parts > 0)));
        let stored = bucket.object(key).unwrap();
        assert!(stored.bytes == content(bytes) && stored.metadata == metadata(), "{key}");
    }
    assert_eq!((bucket.counts().aborted, bucket.open_uploads()), (0, Vec::new()));
}

#[test]
fn what_is_there_stays() {
    let bucket = MemoryBucket::new();
    let objects = in_parts(Rc::new(bucket.clone()));
    bucket.overwrite("a", "other");
    assert_eq!(put(&objects, "a", &content(7 * MIB)).unwrap(), PutOutcome::ConditionFailed);
    assert_eq!((bucket.object("a").unwrap().bytes, bucket.counts().parts), (b"other".to_vec(), 0));
    // A condition that parts can not have is one put's.
    let etag = bucket.object("a").unwrap().etag;
    let large = content(7 * MIB);
    let replaced = run(objects.put("a", &large, PutCondition::IfMatch(&etag), &metadata())).done().unwrap().unwrap();
    assert!(matches!(replaced, PutOutcome::Written { .. }));
    assert_eq!((bucket.object("a").unwrap().bytes == large, bucket.counts().parts), (true, 0));
}

/// Each call of a put in parts fails, fails after it happened, or takes the instance away: then nothing is there or all
/// is, and putting again makes it be there.
#[test]
fn whatever_fails_the_next_try_ends_well() {
    let bytes = content(11 * MIB);
    let calls = ["get", "begin", "part 1", "part 2", "part 3", "complete"];
    for (call, name) in calls.into_iter().enumerate() {
        for fault in [Fault::Fail, Fault::FailAfter, Fault::CrashBefore, Fault::CrashAfter] {
            let world = World::new(1).unwrap();
            let plan = FaultPlan::new();
            plan.arm(call, fault);
            let faulty = repeated(plan.wrap(&world.ports()).objects.unwrap(), &world);
            let outcome = run(faulty.put("a", &bytes, PutCondition::IfAbsent, &metadata())).done();
            let crashed = matches!(fault, Fault::CrashBefore | Fault::CrashAfter);
            assert_eq!(outcome.is_none(), crashed, "{name} {fault:?}");
            assert_eq!(plan.unmet(), 0, "{name} {fault:?}");
            let repeats = name.starts_with("part") || name == "get";
            assert_eq!(outcome.is_some_and(|outcome| outcome.is_ok()), repeats && !crashed, "{name} {fault:?}");
            if let Some(found) = world.bucket.object("a") {
                assert!(found.bytes == bytes, "{name} {fault:?}: all of it or nothing");
            }
            let again = in_parts(Rc::new(world.bucket.clone()));
            put(&again, "a", &bytes).unwrap();
            assert!(world.bucket.object("a").unwrap().bytes == bytes);
        }
    }
}

#[test]
fn an_upload_that_can_not_go_on_is_given_up() {
    let world = World::new(1).unwrap();
    let plan = FaultPlan::new();
    (3..3 + TRIES).for_each(|call| plan.arm(call, Fault::Fail));
    let faulty = repeated(plan.wrap(&world.ports()).objects.unwrap(), &world);
    let error = put(&faulty, "a", &content(11 * MIB)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let counts = world.bucket.counts();
    assert_eq!((counts.parts, counts.aborted, counts.completed), (1, 1, 0));
    assert_eq!((world.bucket.open_uploads(), world.bucket.object("a")), (Vec::new(), None));
}

#[test]
fn a_bucket_without_parts_is_put_to_at_once() {
    struct NoParts(MemoryBucket);
    #[async_trait(?Send)]
    impl ObjectStore for NoParts {
        async fn put(
            &self,
            key: &str,
            bytes: &[u8],
            condition: PutCondition<'_>,
            metadata: &ObjectMetadata,
        ) -> Result<PutOutcome> {
            self.0.put(key, bytes, condition, metadata).await
        }
        async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<StoredObject>> {
            self.0.get(key, range).await
        }
        async fn delete(&self, keys: &[String]) -> Result<()> {
            self.0.delete(keys).await
        }
    }
    let bucket = MemoryBucket::new();
    put(&in_parts(Rc::new(NoParts(bucket.clone()))), "a", &content(7 * MIB)).unwrap();
    assert_eq!((bucket.counts().puts, bucket.counts().parts), (1, 0));
}
