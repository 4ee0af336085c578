//! The one way in which rows are changed without the executor.

use pgrx::pg_sys;

use super::unguarded;

/// Puts a new version of a row in the place of an old one, after waiting for others who change it, and says whether it was
/// the latest one. The caller enters the new one into indexes.
///
/// # Safety
/// Under a guard. The relation must be open for writing, the old row be one of it, and the new one have its columns.
pub(super) unsafe fn update(
    table: pg_sys::Relation,
    old: pg_sys::ItemPointer,
    new: pg_sys::HeapTuple,
    command: pg_sys::CommandId,
) -> pg_sys::TM_Result::Type {
    let mut failure = pg_sys::TM_FailureData::default();
    let mut lock_mode = pg_sys::LockTupleMode::LockTupleNoKeyExclusive;
    #[cfg(not(feature = "pg15"))]
    let mut indexes = pg_sys::TU_UpdateIndexes::TU_None;
    // SAFETY: the caller vouches for relation and rows.
    unsafe {
        unguarded::heap_update(
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
        )
    }
}
