//! The type `sessionset` and what can be asked of it.

use pgrx::pg_sys::Datum;
use sessionize_core::encoding::{Reader, decode, encode};
use sessionize_core::instant::is_finite;
use sessionize_core::set::{self, Totals};
use sessionize_core::{SessionSet, Span, text};

use crate::pg::call::{Call, interruptible};
use crate::pg::error::OrRaise;
use crate::pg::rows::{Value, give_each, give_rows};
use crate::pg_function;

fn encoded(call: &mut Call, set: &SessionSet) -> Datum {
    let mut bytes = Vec::new();
    encode(set.rule(), set.spans(), &mut bytes).or_raise();
    call.bytes_result(&bytes)
}

/// A stored set, which nothing but storage has touched. The functions below are STRICT: PostgreSQL never passes them NULL.
fn stored<'a>(call: &Call<'a>) -> Reader<'a> {
    Reader::new(call.bytes(0).unwrap_or_default()).or_raise()
}

/// The sessions of a stored set, one by one.
pub fn spans<'a>(reader: Reader<'a>) -> impl Iterator<Item = Span> + use<'a> {
    interruptible(reader).map(OrRaise::or_raise)
}

fn totals(call: &Call) -> Totals {
    spans(stored(call)).collect()
}

fn input(call: &mut Call) -> Datum {
    let set = text::read(&call.cstring(0).unwrap_or_default()).or_raise();
    encoded(call, &set)
}

fn output(call: &mut Call) -> Datum {
    let reader = stored(call);
    let rule = reader.rule();
    call.cstring_result(|out| text::write(&rule, spans(reader), out))
}

fn receive(call: &mut Call) -> Datum {
    let set = decode(call.message(0).unwrap_or_default()).or_raise();
    encoded(call, &set)
}

fn send(call: &mut Call) -> Datum {
    let bytes = call.bytes(0).unwrap_or_default();
    call.bytes_result(bytes)
}

fn session_count(call: &mut Call) -> Datum {
    let count = stored(call).remaining();
    call.bigint(count as i64)
}

fn event_count(call: &mut Call) -> Datum {
    let count = totals(call).event_count();
    call.bigint(i64::try_from(count).unwrap_or(i64::MAX))
}

fn total_duration(call: &mut Call) -> Datum {
    let total = totals(call).total_duration();
    call.interval_result(total)
}

fn average_duration(call: &mut Call) -> Datum {
    match totals(call).average_duration() {
        Some(average) => call.interval_result(average),
        None => call.null(),
    }
}

fn bounce_rate(call: &mut Call) -> Datum {
    match totals(call).bounce_rate() {
        Some(rate) => call.float(rate),
        None => call.null(),
    }
}

fn row(number: usize, span: Span) -> [Value; 5] {
    [
        Value::Bigint(number as i64),
        Value::Instant(span.first),
        Value::Instant(span.last),
        Value::Bigint(span.count as i64),
        Value::Interval(span.duration()),
    ]
}

fn session_spans(call: &mut Call) -> Datum {
    let rows = (1..).zip(spans(stored(call))).map(|(number, span)| row(number, span));
    give_each(call, rows)
}

fn session_at(call: &mut Call) -> Datum {
    let instant = call.instant(1).filter(|instant| is_finite(*instant));
    let reader = stored(call);
    let rule = reader.rule();
    let found = instant.and_then(|instant| set::session_at(&rule, spans(reader), instant));
    let rows: Vec<_> = found.into_iter().map(|(number, span)| row(number, span)).collect();
    give_rows(call, &rows)
}

pg_function!(
    /// `(cstring) → sessionset`
    sessionset_input, pg_finfo_sessionset_input, input
);
pg_function!(
    /// `(sessionset) → cstring`
    sessionset_output, pg_finfo_sessionset_output, output
);
pg_function!(
    /// `(internal) → sessionset`
    sessionset_receive, pg_finfo_sessionset_receive, receive
);
pg_function!(
    /// `(sessionset) → bytea`
    sessionset_send, pg_finfo_sessionset_send, send
);
pg_function!(
    /// `(sessionset) → bigint`
    sessionset_session_count, pg_finfo_sessionset_session_count, session_count
);
pg_function!(
    /// `(sessionset) → bigint`
    sessionset_event_count, pg_finfo_sessionset_event_count, event_count
);
pg_function!(
    /// `(sessionset) → interval`
    sessionset_total_duration, pg_finfo_sessionset_total_duration, total_duration
);
pg_function!(
    /// `(sessionset) → interval`
    sessionset_average_duration, pg_finfo_sessionset_average_duration, average_duration
);
pg_function!(
    /// `(sessionset) → float8`
    sessionset_bounce_rate, pg_finfo_sessionset_bounce_rate, bounce_rate
);
pg_function!(
    /// `(sessionset) → setof record`
    sessionset_spans, pg_finfo_sessionset_spans, session_spans
);
pg_function!(
    /// `(sessionset, timestamptz) → setof record`
    sessionset_at, pg_finfo_sessionset_at, session_at
);
