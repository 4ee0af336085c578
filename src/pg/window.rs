//! Window functions: what PostgreSQL calls once for each row of a partition, in order.
//!
//! pgrx does not bind PostgreSQL's `windowapi.h`. The functions of it that are needed have been the same since 8.4.

use std::ffi::{c_int, c_void};

use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;

use super::call::Call;

unsafe extern "C-unwind" {
    fn WinGetPartitionLocalMemory(window: *mut pg_sys::WindowObjectData, size: pg_sys::Size) -> *mut c_void;
    fn WinGetFuncArgCurrent(
        window: *mut pg_sys::WindowObjectData,
        argument: c_int,
        is_null: *mut bool,
    ) -> pg_sys::Datum;
    fn WinGetCurrentPosition(window: *mut pg_sys::WindowObjectData) -> i64;
    fn WinSetMarkPosition(window: *mut pg_sys::WindowObjectData, position: i64);
}

/// What a window function keeps from row to row of a partition. PostgreSQL hands it out filled with zeros.
#[repr(C)]
struct Kept<T> {
    is_made: bool,
    value: std::mem::MaybeUninit<T>,
}

/// How often PostgreSQL is told that earlier rows are not needed any more: telling it at each row takes longer than
/// a few rows in memory are worth.
const ROWS_KEPT: i64 = 128;

/// Fills in the first `count` arguments of the call from the current row. Gives what the function keeps for the rows
/// of this partition, which starts as the default.
#[inline]
pub fn next_row<'a, T: Default>(call: &mut Call<'a>, count: usize) -> &'a mut T {
    const { assert!(!std::mem::needs_drop::<T>(), "PostgreSQL drops nothing") };
    const { assert!(align_of::<Kept<T>>() <= 8, "PostgreSQL aligns to 8") };
    let info = call.info();
    // SAFETY: PostgreSQL passes a node of some kind here, or null.
    let is_window =
        unsafe { info.context.as_ref() }.is_some_and(|node| node.type_ == pg_sys::NodeTag::T_WindowObjectData);
    if !is_window {
        panic!("window function called outside a window");
    }
    let window = info.context.cast::<pg_sys::WindowObjectData>();
    assert!(count <= info.nargs as usize);
    let arguments = info.args.as_mut_ptr();
    // SAFETY: the tag says that this is a window object, and the record has room for `count` arguments. One guard
    // around all calls is enough: an error jumps over nothing but this closure, which owns nothing to drop. The
    // memory is zeroed, which makes `is_made` false, it is nobody else's, and it lives as long as the partition.
    unsafe {
        let kept = pg_guard_ffi_boundary(|| {
            for index in 0..count {
                let argument = arguments.add(index);
                (*argument).value = WinGetFuncArgCurrent(window, index as c_int, &raw mut (*argument).isnull);
            }
            let position = WinGetCurrentPosition(window);
            if position % ROWS_KEPT == 0 {
                WinSetMarkPosition(window, position);
            }
            WinGetPartitionLocalMemory(window, size_of::<Kept<T>>())
        });
        let kept = &mut *kept.cast::<Kept<T>>();
        if !kept.is_made {
            kept.value.write(T::default());
            kept.is_made = true;
        }
        kept.value.assume_init_mut()
    }
}
