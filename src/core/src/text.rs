//! The JSON text of a session set, for people and for `pg_dump`.

use chrono::{DateTime, Datelike, SecondsFormat};
use serde::{Deserialize, Serialize};

use crate::calendar::Zone;
use crate::encoding::VERSION;
use crate::error::{Error, Result};
use crate::instant::{EARLIEST, END_OF_TIME, EPOCH_UNIX_SECONDS, Instant, Micros};
use crate::rule::{Boundary, Rule};
use crate::set::{SessionSet, is_normal};
use crate::span::Span;

/// Flat, with every field named here, so that a field nobody knows is refused and not lost.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with version, policy, what the policy needs, and sessions")]
struct Document {
    version: u8,
    policy: Policy,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_microseconds: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boundary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    sessions: Vec<SessionText>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Policy {
    Timeout,
    Midnight,
}

impl Document {
    fn new(set: &SessionSet) -> Self {
        let sessions = set.spans().iter().map(|span| SessionText {
            started_at: span.first.into(),
            last_event_at: span.last.into(),
            event_count: span.count,
        });
        let (policy, timeout_microseconds, boundary, time_zone) = match set.rule() {
            Rule::Timeout { timeout, boundary } => {
                (Policy::Timeout, Some(*timeout), Some(boundary.name().to_owned()), None)
            }
            Rule::Midnight { zone } => (Policy::Midnight, None, None, Some(zone.name().to_owned())),
        };
        Document { version: VERSION, policy, timeout_microseconds, boundary, time_zone, sessions: sessions.collect() }
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with started_at, last_event_at and event_count")]
struct SessionText {
    started_at: InstantText,
    last_event_at: InstantText,
    event_count: u64,
}

/// RFC 3339 in UTC for the years 1 to 9999, else microseconds since 2000-01-01 00:00 UTC.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "an instant is a text as RFC 3339 has it or a number of microseconds")]
enum InstantText {
    Rfc3339(String),
    Microseconds(Instant),
}

const EPOCH_UNIX_MICROS: i64 = EPOCH_UNIX_SECONDS * 1_000_000;

impl From<Instant> for InstantText {
    fn from(instant: Instant) -> Self {
        instant
            .checked_add(EPOCH_UNIX_MICROS)
            .and_then(DateTime::from_timestamp_micros)
            .filter(|moment| (1..=9999).contains(&moment.year()))
            .map_or(InstantText::Microseconds(instant), |moment| {
                InstantText::Rfc3339(moment.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            })
    }
}

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

/// The text of a set.
pub fn write(set: &SessionSet) -> String {
    serde_json::to_string(&Document::new(set)).expect("a document of strings and numbers can be written")
}

/// Reads what [`write`] wrote, and any JSON of that shape.
pub fn read(text: &str) -> Result<SessionSet> {
    let document: Document = serde_json::from_str(text).map_err(|problem| Error::InvalidText(format!("{problem}.")))?;
    if document.version != VERSION {
        return Err(Error::ForeignVersion(document.version));
    }
    let rule = document.rule()?;
    let spans = document
        .sessions
        .iter()
        .map(|session| {
            Ok(Span {
                first: session.started_at.read()?,
                last: session.last_event_at.read()?,
                count: session.event_count,
            })
        })
        .collect::<Result<Vec<Span>>>()?;
    if !is_normal(&rule, &mut rule.calendar(), &spans) {
        return Err(Error::InvalidText(
            "The sessions are out of order, overlap, or have impossible counts.".to_owned(),
        ));
    }
    Ok(SessionSet::from_spans(rule, spans))
}
