//! What people see of sessions: thin functions over the display and cursor rules of the core; which time zones it has; and
//! who may see sessions.

mod rights;

use pgrx::pg_sys::Datum;
use sessionize_core::{calendar, cursor, display};

use crate::pg::call::Call;
use crate::pg::rows::{Value, give_rows};
use crate::pg_function;

fn text_or_null(call: &mut Call, text: Option<&str>) -> Datum {
    match text {
        Some(text) => call.bytes_result(text.as_bytes()),
        None => call.null(),
    }
}

fn flag(call: &mut Call) -> Datum {
    let flag = call.text(0).and_then(|code| display::flag(&code));
    text_or_null(call, flag.as_deref())
}

fn country_code(call: &mut Call) -> Datum {
    let code = call.text(0).and_then(|text| display::country_code(&text));
    text_or_null(call, code)
}

fn cart_text(call: &mut Call) -> Datum {
    let items = call.datum(0).map(|datum| datum.value() as i32);
    let text = display::cart(items, call.text(1).as_deref(), call.text(2).as_deref());
    text_or_null(call, text.as_deref())
}

/// The functions below are STRICT: PostgreSQL never passes them NULL.
fn time_ago(call: &mut Call) -> Datum {
    let (instant, now) = (call.instant(0).unwrap_or_default(), call.instant(1).unwrap_or_default());
    call.bytes_result(display::time_ago(instant, now).as_bytes())
}

fn time_zone_release(call: &mut Call) -> Datum {
    call.bytes_result(calendar::RELEASE.as_bytes())
}

fn write_cursor(call: &mut Call) -> Datum {
    let (instant, session_id) = (call.instant(1).unwrap_or_default(), call.datum(2).map_or(0, |id| id.value() as i64));
    let text = cursor::write(&call.text(0).unwrap_or_default(), instant, session_id);
    call.bytes_result(text.as_bytes())
}

fn read_cursor(call: &mut Call) -> Datum {
    let place = cursor::read(&call.text(0).unwrap_or_default(), &call.text(1).unwrap_or_default());
    let rows: Vec<[Value; 2]> =
        place.into_iter().map(|(instant, session_id)| [Value::Instant(instant), Value::Bigint(session_id)]).collect();
    give_rows(call, &rows)
}

pg_function!(
    /// `(text) → text`
    sessionize_flag, pg_finfo_sessionize_flag, flag
);
pg_function!(
    /// `(text) → text`
    sessionize_country_code, pg_finfo_sessionize_country_code, country_code
);
pg_function!(
    /// `(integer, text, text) → text`
    sessionize_cart_text, pg_finfo_sessionize_cart_text, cart_text
);
pg_function!(
    /// `(timestamptz, timestamptz) → text`
    sessionize_time_ago, pg_finfo_sessionize_time_ago, time_ago
);
pg_function!(
    /// `() → text`
    sessionize_time_zone_release, pg_finfo_sessionize_time_zone_release, time_zone_release
);
pg_function!(
    /// `(text, timestamptz, bigint) → text`
    sessionize_write_cursor, pg_finfo_sessionize_write_cursor, write_cursor
);
pg_function!(
    /// `(text, text) → setof record`
    sessionize_read_cursor, pg_finfo_sessionize_read_cursor, read_cursor
);
