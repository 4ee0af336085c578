//! Ends of transactions, changes of settings, and ids: what the live path asks of PostgreSQL's core.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pgrx::pg_sys;
use sessionize_core::Instant;

use super::error::{SqlState, state_of};
use super::unguarded;

thread_local! {
    static LISTENING: Cell<bool> = const { Cell::new(false) };
    static CHANGES: Cell<u64> = const { Cell::new(0) };
    static WATCHED: RefCell<Vec<pg_sys::Oid>> = const { RefCell::new(Vec::new()) };
}

/// What the live path does when a transaction or a part of one ends.
pub struct Ends {
    /// The whole transaction is about to be committed, which an error can still prevent.
    pub committing: fn(),
    /// The whole transaction was rolled back.
    pub aborted: fn(),
    /// The whole transaction was committed.
    pub committed: fn(),
    /// A part of it was rolled back.
    pub part_aborted: fn(u32),
}

thread_local! {
    static ENDS: Cell<Option<&'static Ends>> = const { Cell::new(None) };
}

/// Asks to be told of ends of transactions and of changes of relations, once per connection of a client.
pub fn listen(ends: &'static Ends) {
    if LISTENING.replace(true) {
        return;
    }
    ENDS.set(Some(ends));
    // SAFETY: the callbacks are functions of this library, which stays loaded, and raise errors only where that is allowed.
    unsafe {
        pg_sys::RegisterXactCallback(Some(on_transaction), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(on_part), std::ptr::null_mut());
        pg_sys::CacheRegisterRelcacheCallback(Some(on_relation), pg_sys::Datum::null());
    }
}

/// Whether the client began the transaction under way, so that nothing but the client can commit it.
pub fn in_block() -> bool {
    // SAFETY: reads the state of the transaction.
    unsafe { pg_sys::IsTransactionBlock() }
}

/// Counts changes of watched relations: what was read of them before the count changed may be stale.
pub fn changes() -> u64 {
    CHANGES.get()
}

/// Watches a relation.
pub fn watch(relation: pg_sys::Oid) {
    WATCHED.with_borrow_mut(|watched| {
        if !watched.contains(&relation) {
            watched.push(relation);
        }
    });
}

/// Tells all connections that a relation changed, once this transaction commits.
pub fn announce_change(relation: pg_sys::Oid) {
    // SAFETY: the relation is the one a trigger fires on, so it exists.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation) }
}

/// The part of the transaction that is under way.
pub fn current_part() -> u32 {
    // SAFETY: reads a number.
    unsafe { unguarded::GetCurrentSubTransactionId() }
}

/// When the transaction began: `now()`.
pub fn now() -> Instant {
    // SAFETY: reads a number.
    unsafe { unguarded::GetCurrentTransactionStartTimestamp() }
}

/// The next number of a sequence, whoever asks.
pub fn next_number(sequence: pg_sys::Oid) -> i64 {
    // SAFETY: an ordinary call, guarded like every call into PostgreSQL; errors end the statement.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| unguarded::nextval_internal(sequence, false)) }
}

/// Runs statements of ours of which one may find that somebody else has written the same row. Then nothing is left of them,
/// and the result is no.
pub fn unless_duplicate(statements: impl FnOnce()) -> bool {
    // SAFETY: this is how PL/pgSQL catches errors: what the statements made in a part of the transaction is either kept
    // or rolled back with it, and memory context and resource owner are put back.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::CurrentMemoryContext = context;
        let outcome = catch_unwind(AssertUnwindSafe(statements));
        match &outcome {
            Ok(()) => pg_sys::ReleaseCurrentSubTransaction(),
            Err(_) => {
                let ends = ENDS.take(); // what is remembered is not of this part
                pg_sys::RollbackAndReleaseCurrentSubTransaction();
                ENDS.set(ends);
            }
        }
        pg_sys::CurrentMemoryContext = context;
        pg_sys::CurrentResourceOwner = owner;
        match outcome {
            Ok(()) => true,
            Err(error) if state_of(&*error) == Some(SqlState::ERRCODE_UNIQUE_VIOLATION) => false,
            Err(error) => resume_unwind(error),
        }
    }
}

/// Fills bytes with randomness that nobody can guess.
pub fn fill_random(bytes: &mut [u8]) {
    // SAFETY: the buffer is as long as said.
    let filled = unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast::<c_void>(), bytes.len()) };
    assert!(filled, "the operating system gives no randomness");
}

/// The id of a relation in schema `sessionize`; none where the extension is not there.
pub fn own_relation(name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: catalog look-ups by terminated names.
    let relation = unsafe {
        let schema = pg_sys::get_namespace_oid(c"sessionize".as_ptr(), true);
        if schema == pg_sys::InvalidOid { schema } else { pg_sys::get_relname_relid(name.as_ptr(), schema) }
    };
    (relation != pg_sys::InvalidOid).then_some(relation)
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_transaction(event: pg_sys::XactEvent::Type, _argument: *mut c_void) {
    let Some(ends) = ENDS.get() else { return };
    match event {
        pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT | pg_sys::XactEvent::XACT_EVENT_PRE_PREPARE => (ends.committing)(),
        pg_sys::XactEvent::XACT_EVENT_ABORT | pg_sys::XactEvent::XACT_EVENT_PARALLEL_ABORT => (ends.aborted)(),
        pg_sys::XactEvent::XACT_EVENT_COMMIT | pg_sys::XactEvent::XACT_EVENT_PREPARE => (ends.committed)(),
        _ => {}
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_part(
    event: pg_sys::SubXactEvent::Type,
    part: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut c_void,
) {
    if let Some(ends) = ENDS.get()
        && event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB
    {
        (ends.part_aborted)(part);
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_relation(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    let concerns = relation == pg_sys::InvalidOid || WATCHED.with_borrow(|watched| watched.contains(&relation));
    if concerns {
        CHANGES.set(CHANGES.get() + 1);
    }
}
