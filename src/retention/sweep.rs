//! What a sweep has to know about the transaction that it is called in.

use pgrx::pg_sys::Datum;

use crate::pg::call::Call;
use crate::pg::transaction;
use crate::pg_function;

/// `sessionize.in_transaction_block()`
fn in_transaction_block(_call: &mut Call) -> Datum {
    Datum::from(transaction::in_block())
}

pg_function!(
    /// `sessionize.in_transaction_block()`
    sessionize_in_transaction_block, pg_finfo_sessionize_in_transaction_block, in_transaction_block
);
