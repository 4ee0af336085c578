//! Memory of aggregates: blocks of a PostgreSQL memory context, carved without a header per piece; vectors that may be large.

use std::ffi::c_void;

use pgrx::pg_sys;
use sessionize_core::Error;

use super::call::Call;
use super::error::OrRaise;
use super::unguarded;

/// Makes room for more items. Where there is no memory the statement ends (53200): a vector that grows by itself would end
/// the server process.
pub fn reserve<T>(items: &mut Vec<T>, more: usize) {
    items.try_reserve(more).map_err(Error::from).or_raise();
}

/// Calls `function(argument)` when `context` is reset or deleted.
///
/// # Safety
/// `argument` must stay valid for `function` until then.
pub(super) unsafe fn on_reset(
    context: pg_sys::MemoryContext,
    function: unsafe extern "C-unwind" fn(*mut c_void),
    argument: *mut c_void,
) {
    // SAFETY: the record lives in the context that calls it back.
    unsafe {
        let record = pg_sys::MemoryContextAlloc(context, size_of::<pg_sys::MemoryContextCallback>());
        let record = record.cast::<pg_sys::MemoryContextCallback>();
        record.write(pg_sys::MemoryContextCallback { func: Some(function), arg: argument, next: std::ptr::null_mut() });
        pg_sys::MemoryContextRegisterResetCallback(context, record);
    }
}

/// The memory context that holds the states of the aggregate under way.
///
/// Raises an error where the function is not called as part of an aggregate; no SQL can do that,
/// because the functions take `internal` arguments.
fn aggregate_context(call: &mut Call) -> pg_sys::MemoryContext {
    let mut context = std::ptr::null_mut();
    // SAFETY: the record is that of the call under way. The function cannot fail, so it needs no guard.
    if unsafe { unguarded::AggCheckCallContext(call.info(), &mut context) } == 0 {
        panic!("aggregate support function called outside an aggregate");
    }
    context
}

const SMALLEST_BLOCK: usize = 512;
const LARGEST_BLOCK: usize = 64 * 1024;
const CACHE_LINE: usize = 64;

/// Hands out pieces of blocks that it takes from a memory context. Pieces live until the context is reset.
pub struct Arena {
    context: pg_sys::MemoryContext,
    next: *mut u8,
    room: usize,
    block: usize,
}

impl Arena {
    fn new(context: pg_sys::MemoryContext) -> Self {
        Arena { context, next: std::ptr::null_mut(), room: 0, block: SMALLEST_BLOCK }
    }

    /// A piece of `size` bytes, a multiple of 8, aligned to 8. Blocks begin at cache lines: an arena whose pieces have all
    /// the size of half a line puts none across two.
    #[inline]
    pub fn take(&mut self, size: usize) -> *mut u8 {
        debug_assert!(size.is_multiple_of(8));
        if size > self.room {
            self.refill(size);
        }
        let piece = self.next;
        // SAFETY: the block has `room` more bytes.
        self.next = unsafe { piece.add(size) };
        self.room -= size;
        piece
    }

    #[cold]
    fn refill(&mut self, size: usize) {
        let block = self.block.max(size + CACHE_LINE);
        // SAFETY: an ordinary allocation, whose beginning up to a cache line is left out.
        unsafe {
            let start = pg_sys::MemoryContextAlloc(self.context, block).cast::<u8>();
            let unused = start.align_offset(CACHE_LINE);
            self.next = start.add(unused);
            self.room = block - unused;
        }
        self.block = (self.block * 2).min(LARGEST_BLOCK);
    }
}

/// The arenas of one call site: one for each memory context that it keeps states in (grouping sets have several).
#[derive(Default)]
pub struct Arenas {
    // Boxed so that a reset of the context can find its arena while others come and go.
    #[expect(clippy::vec_box)]
    arenas: Vec<Box<Arena>>,
}

impl Arenas {
    /// The arena of the aggregate under way.
    pub fn current(&mut self, call: &mut Call) -> &mut Arena {
        let context = aggregate_context(call);
        let place = self.arenas.iter().position(|arena| arena.context == context).unwrap_or_else(|| {
            let arena = Box::new(Arena::new(context));
            // SAFETY: `forget` only marks the arena, which outlives the context: it is dropped with the call site's
            // memory, whose children, aggregate contexts among them, are deleted before.
            unsafe { on_reset(context, forget, (&raw const *arena).cast_mut().cast()) };
            self.arenas.retain(|arena| !arena.context.is_null());
            self.arenas.push(arena);
            self.arenas.len() - 1
        });
        &mut self.arenas[place]
    }
}

/// # Safety
/// `arena` must point to a live arena.
unsafe extern "C-unwind" fn forget(arena: *mut c_void) {
    // SAFETY: the caller vouches for the pointer.
    unsafe { (*arena.cast::<Arena>()).context = std::ptr::null_mut() };
}
