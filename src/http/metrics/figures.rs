//! A list of figures, and its two forms.
//!
//! The text format is of Prometheus, version 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>. Names,
//! labels and values are made here or are names of objects, so that nothing is to be escaped.

use std::fmt::{Display, Write};

use crate::ports::{BucketFigures, Latency};
use crate::types::names::ObjectName;

/// How a figure moves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Up, until the instance ends.
    Counter,
    /// Up and down.
    Gauge,
    /// Not told in the text.
    Untold,
}

/// One figure.
pub struct Figure {
    group: &'static str,
    name: &'static str,
    metric: &'static str,
    kind: Kind,
    help: &'static str,
    value: String,
}

impl Figure {
    pub fn new(
        group: &'static str,
        name: &'static str,
        metric: &'static str,
        kind: Kind,
        help: &'static str,
        value: impl Display,
    ) -> Self {
        Self { group, name, metric, kind, help, value: value.to_string() }
    }

    pub fn counter(
        group: &'static str,
        name: &'static str,
        metric: &'static str,
        help: &'static str,
        value: u64,
    ) -> Self {
        Self::new(group, name, metric, Kind::Counter, help, value)
    }

    pub fn gauge(
        group: &'static str,
        name: &'static str,
        metric: &'static str,
        help: &'static str,
        value: u64,
    ) -> Self {
        Self::new(group, name, metric, Kind::Gauge, help, value)
    }

    /// One that follows from others, and is told in JSON alone.
    pub fn untold(group: &'static str, name: &'static str, value: impl Display) -> Self {
        Self::new(group, name, "", Kind::Untold, "", value)
    }

    /// One that cannot be measured here.
    pub fn unknown(group: &'static str, name: &'static str) -> Self {
        Self::untold(group, name, "null")
    }
}

/// Figures in both forms.
pub struct Figures {
    labels: String,
    text: String,
    groups: Vec<(&'static str, String)>,
}

impl Figures {
    /// None, of an object.
    pub fn new(name: &ObjectName) -> Self {
        Self { labels: format!("object=\"{}\"", name.path()), text: String::new(), groups: Vec::new() }
    }

    /// Adds a figure.
    pub fn add(&mut self, figure: &Figure) {
        let member = format!("\"{}\":{}", figure.name, figure.value);
        match self.groups.iter_mut().find(|(group, _)| *group == figure.group) {
            Some((_, members)) => {
                members.push(',');
                members.push_str(&member);
            }
            None => self.groups.push((figure.group, member)),
        }
        let (kind, end) = match figure.kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Untold => return,
        };
        let name = format!("{}{end}", figure.metric);
        self.family(&name, kind, figure.help);
        self.sample(&name, "", &figure.value);
    }

    /// Adds the calls of the bucket, which JSON has in its own way.
    pub fn add_calls(&mut self, bucket: &BucketFigures) {
        self.family("bucket_failures_total", "counter", "Calls of the bucket that failed.");
        for (call, figures) in bucket.calls() {
            self.sample("bucket_failures_total", &format!(",operation=\"{}\"", call.name()), figures.failures);
        }
        let name = "bucket_latency_seconds";
        self.family(name, "histogram", "How long calls of the bucket took.");
        for (call, figures) in bucket.calls() {
            self.histogram(name, &format!(",operation=\"{}\"", call.name()), &figures.latency);
        }
    }

    /// Adds how long something took.
    pub fn add_latency(&mut self, name: &str, help: &str, latency: &Latency) {
        self.family(name, "histogram", help);
        self.histogram(name, "", latency);
    }

    fn histogram(&mut self, name: &str, of: &str, latency: &Latency) {
        let bucket = format!("{name}_bucket");
        for (bound, calls) in latency.cumulative() {
            self.sample(&bucket, &format!("{of},le=\"{}\"", seconds(bound)), calls);
        }
        self.sample(&bucket, &format!("{of},le=\"+Inf\""), latency.calls);
        self.sample(&format!("{name}_sum"), of, seconds(latency.total_ms));
        self.sample(&format!("{name}_count"), of, latency.calls);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.text, "# HELP thermocline_{name} {help}\n# TYPE thermocline_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.text, "thermocline_{name}{{{}{labels}}} {value}", self.labels);
    }

    /// Adds a group to an object's JSON, after the members that it has.
    pub fn json_group(&self, name: &str, json: &mut String) {
        let members = self.groups.iter().find(|(group, _)| *group == name).map_or("", |(_, members)| members);
        let _ = write!(json, ",\"{name}\":{{{members}}}");
    }

    /// The text.
    pub fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}
