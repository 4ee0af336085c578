//! The JSON text of a session set, for people and for `pg_dump`.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::calendar::Zone;
use crate::encoding::VERSION;
use crate::error::{Error, Result};
use crate::instant::{EARLIEST, END_OF_TIME, EPOCH_UNIX_SECONDS, Instant, Micros};
use crate::rule::{Boundary, Rule};
use crate::set::{SessionSet, is_normal, push};
use crate::span::Span;

/// Flat, with every field named here, so that a field nobody knows is refused and not lost.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with version, policy, what the policy needs, and sessions")]
struct Document {
    version: u64,
    policy: Policy,
    timeout_microseconds: Option<Micros>,
    boundary: Option<String>,
    time_zone: Option<String>,
    sessions: Sessions,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Policy {
    Timeout,
    Midnight,
}

impl Document {
    /// Reads a document of this version. Others are told by their version, whatever else they hold.
    fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let version = match serde_json::from_str::<Document>(text) {
            Ok(document) if document.version == u64::from(VERSION) => return Ok(document),
            Ok(document) => document.version,
            Err(problem) => match serde_json::from_str::<Versioned>(text) {
                Ok(Versioned { version }) if version != u64::from(VERSION) => version,
                _ => return Err(Error::InvalidText(format!("{problem}."))),
            },
        };
        Err(Error::ForeignVersion(version))
    }

    fn rule(&self) -> Result<Rule> {
        match (&self.policy, self.timeout_microseconds, &self.boundary, &self.time_zone) {
            (Policy::Timeout, Some(timeout), Some(boundary), None) => Rule::timeout(timeout, Boundary::parse(boundary)?),
            (Policy::Midnight, None, None, Some(zone)) => Ok(Rule::Midnight { zone: Zone::parse(zone)? }),
            _ => Err(Error::InvalidText(
                "Policy timeout goes with \"timeout_microseconds\" and \"boundary\", policy midnight with \"time_zone\".".to_owned(),
            )),
        }
    }
}

/// The sessions of a document, or what is wrong with them.
struct Sessions(Result<Vec<Span>>);

impl<'de> Deserialize<'de> for Sessions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_seq(SessionsVisitor)
    }
}

struct SessionsVisitor;

impl<'de> Visitor<'de> for SessionsVisitor {
    type Value = Sessions;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of sessions")
    }

    /// One session after the other, so that the texts of instants do not pile up.
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> std::result::Result<Sessions, A::Error> {
        let mut spans = Ok(Vec::new());
        while let Some(session) = sequence.next_element::<SessionText>()? {
            spans = spans.and_then(|mut spans| {
                push(&mut spans, session.span()?)?;
                Ok(spans)
            });
        }
        Ok(Sessions(spans))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with started_at, last_event_at and event_count")]
struct SessionText {
    started_at: InstantText,
    last_event_at: InstantText,
    event_count: u64,
}

impl SessionText {
    fn span(&self) -> Result<Span> {
        Ok(Span { first: self.started_at.read()?, last: self.last_event_at.read()?, count: self.event_count })
    }
}

/// RFC 3339 in UTC for the years 1 to 9999, else microseconds since 2000-01-01 00:00 UTC.
#[derive(Deserialize)]
#[serde(untagged, expecting = "an instant is a text as RFC 3339 has it or a number of microseconds")]
enum InstantText {
    Rfc3339(String),
    Microseconds(Instant),
}

const EPOCH_UNIX_MICROS: i64 = EPOCH_UNIX_SECONDS * 1_000_000;

impl InstantText {
    fn read(&self) -> Result<Instant> {
        let instant = match self {
            InstantText::Microseconds(instant) => *instant,
            InstantText::Rfc3339(text) => {
                let moment = DateTime::parse_from_rfc3339(text)
                    .map_err(|problem| Error::InvalidText(format!("\"{text}\" is not an instant: {problem}.")))?;
                moment.timestamp_micros() - EPOCH_UNIX_MICROS
            }
        };
        if (EARLIEST..END_OF_TIME).contains(&instant) {
            Ok(instant)
        } else {
            Err(Error::InvalidText(format!("The instant {instant} is out of range.")))
        }
    }
}

/// Writes an instant as [`InstantText`] reads it.
fn write_instant(instant: Instant, out: &mut impl fmt::Write) -> fmt::Result {
    let moment = instant.checked_add(EPOCH_UNIX_MICROS).and_then(DateTime::from_timestamp_micros);
    let Some(moment) = moment.filter(|moment| (1..=9999).contains(&moment.year())) else {
        return write!(out, "{instant}");
    };
    let (year, month, day) = (moment.year(), moment.month(), moment.day());
    let (hour, minute, second) = (moment.hour(), moment.minute(), moment.second());
    write!(out, "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
    match moment.timestamp_subsec_micros() {
        0 => {}
        micros if micros % 1000 == 0 => write!(out, ".{:03}", micros / 1000)?,
        micros => write!(out, ".{micros:06}")?,
    }
    out.write_str("Z\"")
}

/// Writes the text of a set, session by session. Nothing in it has to be escaped.
pub fn write(rule: &Rule, spans: impl Iterator<Item = Span>, out: &mut impl fmt::Write) -> fmt::Result {
    write!(out, r#"{{"version":{VERSION},"#)?;
    match rule {
        Rule::Timeout { timeout, boundary } => {
            let boundary = boundary.name();
            write!(out, r#""policy":"timeout","timeout_microseconds":{timeout},"boundary":"{boundary}","#)?;
        }
        Rule::Midnight { zone } => write!(out, r#""policy":"midnight","time_zone":"{}","#, zone.name())?,
    }
    out.write_str(r#""sessions":["#)?;
    for (place, span) in spans.enumerate() {
        out.write_str(if place == 0 { r#"{"started_at":"# } else { r#",{"started_at":"# })?;
        write_instant(span.first, out)?;
        out.write_str(r#","last_event_at":"#)?;
        write_instant(span.last, out)?;
        write!(out, r#","event_count":{}}}"#, span.count)?;
    }
    out.write_str("]}")
}

/// Reads what [`write`](fn@write) wrote, and any JSON of that shape.
pub fn read(text: &str) -> Result<SessionSet> {
    let document = Document::parse(text)?;
    let rule = document.rule()?;
    let spans = document.sessions.0?;
    if !is_normal(&rule, &spans) {
        return Err(Error::InvalidText(
            "The sessions are out of order, overlap, or have impossible counts.".to_owned(),
        ));
    }
    Ok(SessionSet::from_normal(rule, spans))
}
