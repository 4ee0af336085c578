//! `sessionize`, `sessionize_daily` and `rollup`: one state, one combination, one result.

use pgrx::pg_sys::Datum;
use sessionize_core::calendar::Calendars;
use sessionize_core::encoding::{Reader, encode};
use sessionize_core::instant::is_finite;
use sessionize_core::packed::PackedSpan;
use sessionize_core::{Error, Rule, Span};

use super::arguments::RuleArguments;
use super::sessionset::spans;
use crate::pg::call::Call;
use crate::pg::error::OrRaise;
use crate::pg::memory::Arenas;
use crate::pg::session_log::{Handle, SessionLog};
use crate::pg_function;

/// What a transition function keeps from row to row.
#[derive(Default)]
struct Site {
    arguments: RuleArguments,
    states: Arenas,
    logs: Arenas,
}

const STATE: usize = 0;
const OCCURRED_AT: usize = 1;
const RULE: usize = 2;

#[inline]
fn transition(call: &mut Call) -> Datum {
    let site = call.kept(Site::default);
    site.arguments.refresh_timeout(call, RULE);
    add_event(call, site)
}

#[inline]
fn daily_transition(call: &mut Call) -> Datum {
    let site = call.kept(Site::default);
    site.arguments.refresh_zone(call, RULE);
    add_event(call, site)
}

#[inline]
fn add_event(call: &mut Call, site: &mut Site) -> Datum {
    let state: Handle = call.pointer(STATE);
    let Some(instant) = call.instant(OCCURRED_AT).filter(|instant| is_finite(*instant)) else {
        return call.pointer_result(state);
    };
    let RuleArguments { rule, packed, calendars, .. } = &mut site.arguments;
    let calendar = &mut calendars.current;
    let mut log = match SessionLog::open(state) {
        Some(log) => log,
        None => SessionLog::create(site.states.current(call), *packed),
    };
    if log.packed_rule() != *packed {
        rule.same_as(&log.rule()).or_raise();
    }
    let event = Span::of(instant);
    if !log.extend(rule, calendar, &event) {
        log.add(rule, calendar, site.logs.current(call), &event);
    }
    call.pointer_result(log.handle())
}

/// What the functions over whole states keep from call to call.
struct SetSite {
    rule: Rule,
    packed: u64,
    calendars: Calendars,
    arenas: Arenas,
    spans: Vec<Span>,
    bytes: Vec<u8>,
}

impl SetSite {
    fn new() -> Self {
        let rule = Rule::default();
        SetSite {
            rule,
            packed: rule.pack(),
            calendars: Calendars::new(rule.zone()),
            arenas: Arenas::default(),
            spans: Vec::new(),
            bytes: Vec::new(),
        }
    }

    fn follow(&mut self, packed: u64) {
        if packed != self.packed {
            self.rule = Rule::unpack(packed);
            self.packed = packed;
            self.calendars.follow(self.rule.zone());
        }
    }
}

/// Adds the sessions of a set: the transition of `rollup`.
fn add_set(call: &mut Call) -> Datum {
    let site = call.kept(SetSite::new);
    let state: Handle = call.pointer(STATE);
    let Some(bytes) = call.bytes(1) else {
        return call.pointer_result(state);
    };
    let reader = Reader::new(bytes).or_raise();
    site.follow(reader.rule().pack());
    let arena = site.arenas.current(call);
    let mut log = match SessionLog::open(state) {
        Some(log) => log,
        None => SessionLog::create(arena, site.packed),
    };
    site.rule.same_as(&log.rule()).or_raise();
    for span in spans(reader) {
        log.add(&site.rule, &mut site.calendars.current, arena, &span);
    }
    call.pointer_result(log.handle())
}

/// The serial form of a state: its rule as one number, then its sessions. It lives no longer than the query, and
/// is quick to take up rather than small.
fn serialize(call: &mut Call) -> Datum {
    let site = call.kept(SetSite::new);
    let Some(log) = SessionLog::open(call.pointer(STATE)) else {
        return call.null();
    };
    site.follow(log.packed_rule());
    site.bytes.clear();
    site.bytes.extend(site.packed.to_ne_bytes());
    log.pieces(&site.rule, &mut site.calendars.current, &mut site.spans, &mut site.bytes);
    call.bytes_result(&site.bytes)
}

/// Leaves the bytes as they are: [`combine`] reads them where they lie.
fn deserialize(call: &mut Call) -> Datum {
    match call.datum(0) {
        Some(bytes) => bytes,
        None => call.null(),
    }
}

/// Adds the sessions of a serial form, without looking how they fit together: [`finish`] does.
fn combine(call: &mut Call) -> Datum {
    let site = call.kept(SetSite::new);
    let state: Handle = call.pointer(STATE);
    let Some(bytes) = call.bytes(1) else {
        return call.pointer_result(state);
    };
    let (rule, pieces) = bytes.split_first_chunk().ok_or(Error::CorruptBytes("too few bytes")).or_raise();
    let packed = u64::from_ne_bytes(*rule);
    let pieces = pieces.as_chunks().0.iter().map(|piece| PackedSpan::from_bytes(*piece));
    let arena = site.arenas.current(call);
    let mut log = match SessionLog::open(state) {
        Some(log) => log,
        None => SessionLog::create_with_room(arena, packed, pieces.len()),
    };
    if log.packed_rule() != packed {
        Rule::unpack(packed).same_as(&log.rule()).or_raise();
    }
    log.append(arena, pieces);
    call.pointer_result(log.handle())
}

/// The state as a `sessionset`.
fn finish(call: &mut Call) -> Datum {
    let site = call.kept(SetSite::new);
    let Some(log) = SessionLog::open(call.pointer(STATE)) else {
        return call.null();
    };
    site.follow(log.packed_rule());
    log.collect(&site.rule, &mut site.calendars.current, &mut site.spans);
    site.bytes.clear();
    encode(&site.rule, &site.spans, &mut site.bytes).or_raise();
    call.bytes_result(&site.bytes)
}

pg_function!(
    /// `(state, occurred_at [, timeout [, boundary]]) → state`
    sessionize_transition, pg_finfo_sessionize_transition, transition
);
pg_function!(
    /// `(state, occurred_at, time_zone) → state`
    sessionize_daily_transition, pg_finfo_sessionize_daily_transition, daily_transition
);
pg_function!(
    /// `(state, sessionset) → state`
    sessionize_add_set, pg_finfo_sessionize_add_set, add_set
);
pg_function!(
    /// `(state) → bytea`
    sessionize_serialize, pg_finfo_sessionize_serialize, serialize
);
pg_function!(
    /// `(bytea, internal) → deserialized state`
    sessionize_deserialize, pg_finfo_sessionize_deserialize, deserialize
);
pg_function!(
    /// `(state, deserialized state) → state`
    sessionize_combine, pg_finfo_sessionize_combine, combine
);
pg_function!(
    /// `(state) → sessionset`
    sessionize_finish, pg_finfo_sessionize_finish, finish
);
