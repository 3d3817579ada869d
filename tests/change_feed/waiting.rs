//! Readers that wait for an event: bounded in number, and let go of when they leave.

use std::future::Future;
use std::task::{Context, Poll, Waker};

use thermocline::limits::CDC_WAITING_MAX;

use crate::support::{Object, header, parsed, request};
use crate::world;

#[test]
fn those_who_wait_are_bounded_and_leave_their_place() {
    let world = world(1);
    let object = Object::wake(&world);
    object.ok("PUT", "/collections/a/docs/x", "{}");
    let mut context = Context::from_waker(Waker::noop());
    let wait = || Box::pin(object.service.handle(request("GET", "/cdc?after=1&waitMs=30000", &[], "")));
    let mut waiting: Vec<_> = (0..CDC_WAITING_MAX).map(|_| wait()).collect();
    assert!(waiting.iter_mut().all(|reader| reader.as_mut().poll(&mut context).is_pending()));
    let Poll::Ready(refused) = wait().as_mut().poll(&mut context) else { panic!("one more is refused at once") };
    assert_eq!((refused.status, header(&refused, "retry-after")), (429, "5"), "{}", parsed(&refused));
    assert_eq!(object.get("/cdc?after=1").0, 200, "who does not wait is answered");
    assert_eq!(object.get("/cdc?after=0&waitMs=1000").0, 429, "who would have to is not, whatever there is");
    drop(waiting.pop());
    assert!(wait().as_mut().poll(&mut context).is_pending(), "a client that has gone leaves its place");
    drop(waiting);
    assert_eq!(object.get("/cdc?after=0&waitMs=1000").0, 200);
}
