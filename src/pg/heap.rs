//! Rows that are changed without the executor.

use pgrx::pg_sys;

use super::unguarded;

/// Which indexes the new version of a row has to be entered into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entering {
    /// None: the row stayed on its page, and no index is of a column that changed.
    Nothing,
    /// Only those that sum up pages.
    #[cfg_attr(feature = "pg15", allow(dead_code))]
    Summaries,
    /// All of them.
    All,
}

impl Entering {
    /// # Safety
    /// The row must have been written just now, and `indexes` be what PostgreSQL said of it, if it does.
    unsafe fn of(
        _row: pg_sys::HeapTuple,
        #[cfg(not(feature = "pg15"))] indexes: pg_sys::TU_UpdateIndexes::Type,
    ) -> Self {
        #[cfg(feature = "pg15")]
        // SAFETY: the caller vouches for the row.
        return match u32::from(unsafe { (*(*_row).t_data).t_infomask2 }) & pg_sys::HEAP_ONLY_TUPLE {
            0 => Entering::All,
            _ => Entering::Nothing,
        };
        #[cfg(not(feature = "pg15"))]
        match indexes {
            pg_sys::TU_UpdateIndexes::TU_None => Entering::Nothing,
            pg_sys::TU_UpdateIndexes::TU_Summarizing => Entering::Summaries,
            _ => Entering::All,
        }
    }
}

/// Puts a new version of a row in the place of an old one, after waiting for others who change it, and says whether it was
/// the latest one and which indexes lack the new one.
///
/// # Safety
/// Under a guard. The relation must be open for writing, the old row be one of it, and the new one have its columns.
pub(super) unsafe fn update(
    table: pg_sys::Relation,
    old: pg_sys::ItemPointer,
    new: pg_sys::HeapTuple,
    command: pg_sys::CommandId,
) -> (pg_sys::TM_Result::Type, Entering) {
    let mut failure = pg_sys::TM_FailureData::default();
    let mut lock_mode = pg_sys::LockTupleMode::LockTupleNoKeyExclusive;
    #[cfg(not(feature = "pg15"))]
    let mut indexes = pg_sys::TU_UpdateIndexes::TU_None;
    // SAFETY: the caller vouches for relation and rows.
    unsafe {
        let result = unguarded::heap_update(
            table,
            old,
            new,
            command,
            std::ptr::null_mut(),
            true,
            &mut failure,
            &mut lock_mode,
            #[cfg(not(feature = "pg15"))]
            &mut indexes,
        );
        let entering = Entering::of(
            new,
            #[cfg(not(feature = "pg15"))]
            indexes,
        );
        (result, entering)
    }
}

/// The same for a row that this transaction has locked: nobody else can have changed it.
///
/// # Safety
/// As above; the row must be locked.
pub(super) unsafe fn update_locked(
    table: pg_sys::Relation,
    old: pg_sys::ItemPointer,
    new: pg_sys::HeapTuple,
) -> Entering {
    #[cfg(not(feature = "pg15"))]
    let mut indexes = pg_sys::TU_UpdateIndexes::TU_None;
    // SAFETY: the caller vouches for relation and rows.
    unsafe {
        unguarded::simple_heap_update(
            table,
            old,
            new,
            #[cfg(not(feature = "pg15"))]
            &mut indexes,
        );
        Entering::of(
            new,
            #[cfg(not(feature = "pg15"))]
            indexes,
        )
    }
}
