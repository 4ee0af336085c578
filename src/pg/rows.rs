//! Results of several rows.

use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use sessionize_core::{Instant, Micros};

use super::call::Call;
use super::error::{Report, SqlState};
use super::unguarded;

/// A column of a result row.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// `bigint`
    Bigint(i64),
    /// `timestamptz`
    Instant(Instant),
    /// `interval` of hours, minutes and seconds
    Interval(Micros),
    /// A value of the column's own type, or NULL
    Any(Option<pg_sys::Datum>),
}

/// Gives rows as the result of a set-returning function whose columns have the types of the values.
pub fn give_rows<const COLUMNS: usize>(call: &mut Call, rows: &[[Value; COLUMNS]]) -> pg_sys::Datum {
    give_each(call, rows.iter().copied())
}

/// Gives rows as they come, as [`give_rows`] does; only some of them are in memory at once.
pub fn give_each<const COLUMNS: usize>(
    call: &mut Call,
    mut rows: impl Iterator<Item = [Value; COLUMNS]>,
) -> pg_sys::Datum {
    let info = call.info().resultinfo.cast::<pg_sys::ReturnSetInfo>();
    // SAFETY: for set-returning functions the executor passes a ReturnSetInfo; its tag is checked.
    let usable = unsafe {
        !info.is_null()
            && (*info).type_ == pg_sys::NodeTag::T_ReturnSetInfo
            && (*info).allowedModes & pg_sys::SetFunctionReturnMode::SFRM_Materialize as i32 != 0
            && !(*info).expectedDesc.is_null()
            && (*(*info).expectedDesc).natts == COLUMNS as i32
    };
    if !usable {
        Report::new(
            SqlState::ERRCODE_FEATURE_NOT_SUPPORTED,
            "set-returning function called where rows cannot be taken",
        )
        .hint("Call it in FROM or in the SELECT list.")
        .raise();
    }
    const AT_ONCE: usize = 256;
    let mut some = Vec::with_capacity(AT_ONCE);
    // SAFETY: the information is what it should be, see above.
    unsafe {
        let store = make_store(info);
        loop {
            some.clear();
            some.extend(rows.by_ref().take(AT_ONCE));
            if some.is_empty() {
                break;
            }
            store_rows(store, (*info).expectedDesc, &some);
        }
        (*info).setResult = store;
        (*info).returnMode = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
    }
    call.null()
}

/// An empty row store in the memory of the query, where the executor expects it.
///
/// # Safety
/// `info` must be that of the call under way.
unsafe fn make_store(info: *const pg_sys::ReturnSetInfo) -> *mut pg_sys::Tuplestorestate {
    // SAFETY: an error jumps over nothing but this closure, which owns nothing to drop; the guard restores the context.
    unsafe {
        pg_guard_ffi_boundary(|| {
            let caller_memory = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = (*(*info).econtext).ecxt_per_query_memory;
            let random_access =
                (*info).allowedModes & pg_sys::SetFunctionReturnMode::SFRM_Materialize_Random as i32 != 0;
            let store = unguarded::tuplestore_begin_heap(random_access, false, pg_sys::work_mem);
            pg_sys::CurrentMemoryContext = caller_memory;
            store
        })
    }
}

/// Puts rows into a store.
///
/// # Safety
/// The columns must have the types of the values.
unsafe fn store_rows<const COLUMNS: usize>(
    store: *mut pg_sys::Tuplestorestate,
    columns: pg_sys::TupleDesc,
    rows: &[[Value; COLUMNS]],
) {
    // SAFETY: one guard around all calls of PostgreSQL: an error jumps over nothing but this closure, which owns nothing
    // to drop and cannot panic. The store copies what the values point to.
    unsafe {
        pg_guard_ffi_boundary(|| {
            let mut intervals = [pg_sys::Interval::default(); COLUMNS];
            let mut values = [pg_sys::Datum::null(); COLUMNS];
            let mut nulls = [false; COLUMNS];
            for row in rows {
                for (place, value) in row.iter().enumerate() {
                    nulls[place] = matches!(value, Value::Any(None));
                    values[place] = match *value {
                        Value::Bigint(number) => pg_sys::Datum::from(number),
                        Value::Instant(instant) => pg_sys::Datum::from(instant),
                        Value::Interval(micros) => {
                            intervals[place].time = micros;
                            pg_sys::Datum::from(&raw mut intervals[place])
                        }
                        Value::Any(datum) => datum.unwrap_or(pg_sys::Datum::null()),
                    };
                }
                unguarded::tuplestore_putvalues(store, columns, values.as_mut_ptr(), nulls.as_mut_ptr());
            }
        })
    }
}
