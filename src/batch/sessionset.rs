//! The type `sessionset` and what can be asked of it.

use pgrx::pg_sys::Datum;
use sessionize_core::encoding::{Reader, decode, encode};
use sessionize_core::instant::is_finite;
use sessionize_core::{SessionSet, Span, text};

use crate::pg::call::Call;
use crate::pg::error::OrRaise;
use crate::pg::rows::{Value, give_rows};
use crate::pg_function;

fn encoded(call: &mut Call, set: &SessionSet) -> Datum {
    let mut bytes = Vec::new();
    encode(set.rule(), set.spans(), &mut bytes);
    call.bytes_result(&bytes)
}

/// The functions below are STRICT: PostgreSQL never passes them NULL.
fn set_argument(call: &Call) -> SessionSet {
    decode(call.bytes(0).unwrap_or_default()).or_raise()
}

fn spans(call: &Call) -> impl Iterator<Item = Span> {
    Reader::new(call.bytes(0).unwrap_or_default()).or_raise().map(OrRaise::or_raise)
}

fn input(call: &mut Call) -> Datum {
    let set = text::read(&call.cstring(0).unwrap_or_default()).or_raise();
    encoded(call, &set)
}

fn output(call: &mut Call) -> Datum {
    let set = set_argument(call);
    call.cstring_result(&text::write(&set))
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
    let count = Reader::new(call.bytes(0).unwrap_or_default()).or_raise().remaining();
    call.bigint(count as i64)
}

fn event_count(call: &mut Call) -> Datum {
    let count = set_argument(call).event_count();
    call.bigint(i64::try_from(count).unwrap_or(i64::MAX))
}

fn total_duration(call: &mut Call) -> Datum {
    let total = set_argument(call).total_duration();
    call.interval_result(total)
}

fn average_duration(call: &mut Call) -> Datum {
    match set_argument(call).average_duration() {
        Some(average) => call.interval_result(average),
        None => call.null(),
    }
}

fn bounce_rate(call: &mut Call) -> Datum {
    match set_argument(call).bounce_rate() {
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
    let rows: Vec<_> = (1..).zip(spans(call)).map(|(number, span)| row(number, span)).collect();
    give_rows(call, &rows)
}

fn session_at(call: &mut Call) -> Datum {
    let instant = call.instant(1).filter(|instant| is_finite(*instant));
    let found = instant.and_then(|instant| set_argument(call).session_at(instant));
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
