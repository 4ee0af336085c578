//! `sessionize`, `sessionize_daily` and `rollup`: one state, one combination, one result.

use std::cell::RefCell;

use pgrx::pg_sys::Datum;
use sessionize_core::encoding::{Reader, encode};
use sessionize_core::instant::is_finite;
use sessionize_core::{Calendar, Rule, Span};

use super::arguments::RuleArguments;
use crate::pg::call::Call;
use crate::pg::error::OrRaise;
use crate::pg::memory::Arenas;
use crate::pg::session_log::{Handle, SessionLog};
use crate::pg_function;

/// What a transition function keeps from row to row.
#[derive(Default)]
struct Site {
    arguments: RuleArguments,
    arenas: Arenas,
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
    let RuleArguments { rule, packed, calendar, .. } = &mut site.arguments;
    let mut log = match SessionLog::open(state) {
        Some(log) => log,
        None => SessionLog::create(site.arenas.current(call), rule),
    };
    if log.packed_rule() != *packed {
        rule.same_as(&log.rule()).or_raise();
    }
    if !log.extend(rule, calendar, instant) {
        log.add(rule, calendar, site.arenas.current(call), Span::of(instant));
    }
    call.pointer_result(log.handle())
}

/// What the functions over whole sets keep from call to call.
struct SetSite {
    rule: Rule,
    calendar: Calendar,
    arenas: Arenas,
    spans: Vec<Span>,
}

impl SetSite {
    fn new() -> Self {
        let rule = Rule::default();
        SetSite { rule, calendar: rule.calendar(), arenas: Arenas::default(), spans: Vec::new() }
    }

    fn follow(&mut self, rule: Rule) {
        if rule != self.rule {
            self.rule = rule;
            self.calendar = rule.calendar();
        }
    }
}

/// Adds the sessions of an encoded set: the transition of `rollup` and the combination of partial states, whose
/// second argument [`deserialize`] leaves encoded.
fn add_set(call: &mut Call) -> Datum {
    let site = call.kept(SetSite::new);
    let state: Handle = call.pointer(STATE);
    let Some(bytes) = call.bytes(1) else {
        return call.pointer_result(state);
    };
    let reader = Reader::new(bytes).or_raise();
    site.follow(reader.rule());
    let mut log = match SessionLog::open(state) {
        Some(log) => log,
        None => SessionLog::create(site.arenas.current(call), &site.rule),
    };
    site.rule.same_as(&log.rule()).or_raise();
    for span in reader {
        log.add(&site.rule, &mut site.calendar, site.arenas.current(call), span.or_raise());
    }
    call.pointer_result(log.handle())
}

thread_local! {
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The state as the bytes of a `sessionset`: the result, and the serial form.
fn finish(call: &mut Call) -> Datum {
    let site = call.kept(SetSite::new);
    let Some(log) = SessionLog::open(call.pointer(STATE)) else {
        return call.null();
    };
    site.follow(log.rule());
    log.collect(&site.rule, &mut site.calendar, &mut site.spans);
    ENCODED.with_borrow_mut(|bytes| {
        bytes.clear();
        encode(&site.rule, &site.spans, bytes);
        call.bytes_result(bytes)
    })
}

/// Leaves the bytes as they are: [`add_set`] reads them where they lie.
fn deserialize(call: &mut Call) -> Datum {
    match call.datum(0) {
        Some(bytes) => bytes,
        None => call.null(),
    }
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
    /// `(state, sessionset) → state` and `(state, deserialized state) → state`
    sessionize_add_set, pg_finfo_sessionize_add_set, add_set
);
pg_function!(
    /// `(state) → sessionset` and `(state) → bytea`
    sessionize_finish, pg_finfo_sessionize_finish, finish
);
pg_function!(
    /// `(bytea, internal) → deserialized state`
    sessionize_deserialize, pg_finfo_sessionize_deserialize, deserialize
);
