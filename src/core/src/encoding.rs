//! The bytes of a stored session set.
//!
//! ```text
//! version       1 byte
//! rule          1 byte: 0 timeout exclusive, 1 timeout inclusive, 2 midnight
//!               then the timeout in microseconds (varint),
//!               or the length of the zone's name (1 byte) and the name
//! sessions      how many (varint), then for each
//!   start       distance from the end of the session before (from the epoch for the first), zigzag varint
//!   duration    varint
//!   events      varint, at least 1
//! ```
//! Varints are little-endian base 128. All numbers are microseconds since 2000-01-01 00:00 UTC.

use crate::calendar::Zone;
use crate::error::{Error, Result};
use crate::instant::{Instant, Micros};
use crate::rule::{Boundary, Rule};
use crate::set::{SessionSet, is_normal, push};
use crate::span::Span;

/// The version of the format that [`encode`] writes.
pub const VERSION: u8 = 1;

const TIMEOUT_EXCLUSIVE: u8 = 0;
const TIMEOUT_INCLUSIVE: u8 = 1;
const MIDNIGHT: u8 = 2;

/// The most bytes that the head takes, with the longest name of a zone, or that a session takes.
const LARGEST_PART: usize = 300;

/// Appends the bytes of a set of normal spans; fails where there is no memory for them.
pub fn encode(rule: &Rule, spans: &[Span], bytes: &mut Vec<u8>) -> Result<()> {
    bytes.try_reserve(LARGEST_PART)?;
    bytes.push(VERSION);
    match *rule {
        Rule::Timeout { timeout, boundary } => {
            bytes.push(if boundary == Boundary::Exclusive { TIMEOUT_EXCLUSIVE } else { TIMEOUT_INCLUSIVE });
            push_varint(bytes, timeout as u64);
        }
        Rule::Midnight { zone } => {
            let name = zone.name();
            bytes.extend([MIDNIGHT, name.len() as u8]);
            bytes.extend_from_slice(name.as_bytes());
        }
    }
    push_varint(bytes, spans.len() as u64);
    let mut previous: Instant = 0;
    for span in spans {
        bytes.try_reserve(LARGEST_PART)?;
        push_varint(bytes, zigzag(span.first.wrapping_sub(previous)));
        push_varint(bytes, span.last.wrapping_sub(span.first) as u64);
        push_varint(bytes, span.count);
        previous = span.last;
    }
    Ok(())
}

/// Reads bytes that [`encode`] wrote and that nothing but storage has touched.
pub struct Reader<'a> {
    rule: Rule,
    remaining: u64,
    previous: Instant,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads the head; the spans follow as an iterator.
    pub fn new(mut bytes: &'a [u8]) -> Result<Self> {
        let version = take_byte(&mut bytes)?;
        if version != VERSION {
            return Err(Error::ForeignVersion(version.into()));
        }
        let rule = match take_byte(&mut bytes)? {
            tag @ (TIMEOUT_EXCLUSIVE | TIMEOUT_INCLUSIVE) => {
                let boundary = if tag == TIMEOUT_EXCLUSIVE { Boundary::Exclusive } else { Boundary::Inclusive };
                let timeout = Micros::try_from(take_varint(&mut bytes)?)
                    .map_err(|_| Error::CorruptBytes("an impossible timeout"))?;
                Rule::timeout(timeout, boundary).map_err(|_| Error::CorruptBytes("an impossible timeout"))?
            }
            MIDNIGHT => {
                let length = usize::from(take_byte(&mut bytes)?);
                let name = bytes.split_off(..length).ok_or(Error::CorruptBytes("too few bytes"))?;
                let name =
                    std::str::from_utf8(name).map_err(|_| Error::CorruptBytes("a zone name that is not text"))?;
                Rule::Midnight { zone: Zone::parse(name)? }
            }
            _ => return Err(Error::CorruptBytes("an unknown kind of rule")),
        };
        let remaining = take_varint(&mut bytes)?;
        Ok(Reader { rule, remaining, previous: 0, bytes })
    }

    /// The rule of the set.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// How many sessions have not been read yet; before the first, how many there are.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    fn take_span(&mut self) -> Result<Span> {
        let first = self.previous.wrapping_add(unzigzag(take_varint(&mut self.bytes)?));
        let last = first.wrapping_add(take_varint(&mut self.bytes)? as Micros);
        let count = take_varint(&mut self.bytes)?;
        self.previous = last;
        Ok(Span { first, last, count })
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Span>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        self.remaining -= 1;
        Some(self.take_span())
    }
}

/// Reads bytes from anywhere: whatever they hold, the result is a valid set or an error.
pub fn decode(bytes: &[u8]) -> Result<SessionSet> {
    let mut reader = Reader::new(bytes)?;
    let rule = reader.rule();
    let mut spans = Vec::new();
    for span in reader.by_ref() {
        push(&mut spans, span?)?;
    }
    if !reader.bytes.is_empty() {
        return Err(Error::CorruptBytes("more bytes than sessions"));
    }
    if !is_normal(&rule, &spans) {
        return Err(Error::CorruptBytes("impossible sessions"));
    }
    Ok(SessionSet::from_normal(rule, spans))
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take_byte(bytes: &mut &[u8]) -> Result<u8> {
    bytes.split_off_first().copied().ok_or(Error::CorruptBytes("too few bytes"))
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(bytes)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Error::CorruptBytes("a number that is too large"))
}
