//! Results of several rows.

use pgrx::pg_sys;
use sessionize_core::{Instant, Micros};

use super::call::{Call, interval_datum};
use super::error::{Report, SqlState};

/// A column of a result row.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// `bigint`
    Bigint(i64),
    /// `timestamptz`
    Instant(Instant),
    /// `interval` of hours, minutes and seconds
    Interval(Micros),
    /// Any type: as PostgreSQL gave it
    Any(Option<pg_sys::Datum>),
}

/// Gives rows as the result of a set-returning function whose columns have the types of the values.
pub fn give_rows<const COLUMNS: usize>(call: &mut Call, rows: impl Iterator<Item = [Value; COLUMNS]>) -> pg_sys::Datum {
    let info = call.info().resultinfo.cast::<pg_sys::ReturnSetInfo>();
    // SAFETY: for set-returning functions the executor passes a ReturnSetInfo; its tag is checked. The row store is
    // made in the memory of the query, where the executor expects it.
    unsafe {
        let usable = !info.is_null()
            && (*info).type_ == pg_sys::NodeTag::T_ReturnSetInfo
            && (*info).allowedModes & pg_sys::SetFunctionReturnMode::SFRM_Materialize as i32 != 0
            && !(*info).expectedDesc.is_null()
            && (*(*info).expectedDesc).natts == COLUMNS as i32;
        if !usable {
            Report::new(SqlState::ERRCODE_FEATURE_NOT_SUPPORTED, "set-returning function called where rows cannot be taken")
                .hint("Call it in FROM or in the SELECT list.")
                .raise();
        }
        let caller_memory = pg_sys::MemoryContextSwitchTo((*(*info).econtext).ecxt_per_query_memory);
        let random_access = (*info).allowedModes & pg_sys::SetFunctionReturnMode::SFRM_Materialize_Random as i32 != 0;
        let store = pg_sys::tuplestore_begin_heap(random_access, false, pg_sys::work_mem);
        pg_sys::MemoryContextSwitchTo(caller_memory);
        for row in rows {
            let mut nulls = row.map(|value| matches!(value, Value::Any(None)));
            let mut values = row.map(|value| match value {
                Value::Bigint(number) => pg_sys::Datum::from(number),
                Value::Instant(instant) => pg_sys::Datum::from(instant),
                Value::Interval(micros) => interval_datum(micros),
                Value::Any(datum) => datum.unwrap_or(pg_sys::Datum::null()),
            });
            pg_sys::tuplestore_putvalues(store, (*info).expectedDesc, values.as_mut_ptr(), nulls.as_mut_ptr());
        }
        (*info).returnMode = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
        (*info).setResult = store;
    }
    call.null()
}
