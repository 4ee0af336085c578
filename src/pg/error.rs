//! Errors as people see them: SQLSTATE, message, DETAIL, HINT.

use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use cee_scape::call_with_sigsetjmp;
use pgrx::PgLogLevel;
pub use pgrx::PgSqlErrorCode as SqlState;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::{ErrorReport, pgrx_extern_c_guard};
use sessionize_core::Error;

use super::call::is_utf8_database;
use super::unguarded;

/// An error on its way to the client.
#[derive(Debug)]
pub struct Report {
    state: SqlState,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl Report {
    /// An error with a lower-case primary message.
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        Report { state, message: message.into(), detail: None, hint: None }
    }

    /// Says what exactly is wrong.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error for a NULL where a value is needed (22004).
    pub fn null(argument: &str, hint: &str) -> Self {
        Report::new(SqlState::ERRCODE_NULL_VALUE_NOT_ALLOWED, format!("{argument} must not be null")).hint(hint)
    }

    /// Ends the statement with this error.
    #[cold]
    pub fn raise(self) -> ! {
        // For PostgreSQL a text ends where a zero byte is, and it would take UTF8 for the encoding of the database.
        let is_utf8 = is_utf8_database();
        let whole = |text: String| -> String {
            let shown = |character: char| match character {
                '\0' => "\\0".to_owned(),
                _ if is_utf8 || character.is_ascii() => character.to_string(),
                _ => character.escape_unicode().to_string(),
            };
            text.chars().map(shown).collect()
        };
        let mut report = ErrorReport::new(self.state, whole(self.message), "pg_sessionize");
        if let Some(detail) = self.detail {
            report = report.set_detail(whole(detail));
        }
        if let Some(hint) = self.hint {
            report = report.set_hint(whole(hint));
        }
        report.report(PgLogLevel::ERROR);
        unreachable!("reporting an error does not return")
    }
}

impl From<Error> for Report {
    fn from(error: Error) -> Self {
        let state = match error {
            Error::TimeoutOutOfRange(_)
            | Error::UnknownBoundary(_)
            | Error::UnknownZone(_)
            | Error::DifferentRules(..) => SqlState::ERRCODE_INVALID_PARAMETER_VALUE,
            Error::ForeignVersion(_) | Error::CorruptBytes(_) => SqlState::ERRCODE_INVALID_BINARY_REPRESENTATION,
            Error::InvalidText(_) => SqlState::ERRCODE_INVALID_TEXT_REPRESENTATION,
            Error::OutOfMemory => SqlState::ERRCODE_OUT_OF_MEMORY,
        };
        let mut report = Report::new(state, error.to_string()).hint(error.hint());
        report.detail = error.detail();
        report
    }
}

/// A result whose error goes to the client.
pub trait OrRaise<T> {
    /// The value, or the end of the statement.
    fn or_raise(self) -> T;
}

impl<T, E: Into<Report>> OrRaise<T> for Result<T, E> {
    fn or_raise(self) -> T {
        self.unwrap_or_else(|error| error.into().raise())
    }
}

/// PostgreSQL's record of an error on its way through our functions.
struct Thrown(*mut pg_sys::ErrorData);

// SAFETY: it never leaves the one thread of a backend; a panic's payload has to be Send all the same.
unsafe impl Send for Thrown {}

/// Calls what may run code of users. An error unwinds our functions and leaves them, by [`guarded`], as it came:
/// pgrx would take codes that it does not know for XX000, and forget the context and the names of tables.
///
/// # Safety
/// The call must be one of PostgreSQL's own functions, declared without pgrx's guard, and nothing that has to be dropped.
pub(super) unsafe fn passing_errors<T>(call: impl FnOnce() -> T) -> T {
    // SAFETY: what PG_TRY does. Between setting and jumping there are only the frames of PostgreSQL and of the call.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let handler = pg_sys::PG_exception_stack;
        let callbacks = pg_sys::error_context_stack;
        let mut result = MaybeUninit::uninit();
        let thrown = call_with_sigsetjmp(false, |jump| {
            pg_sys::PG_exception_stack = std::ptr::from_ref(jump).cast_mut().cast();
            result.write(call());
            0
        });
        pg_sys::PG_exception_stack = handler;
        pg_sys::error_context_stack = callbacks;
        if thrown == 0 {
            return result.assume_init();
        }
        // A part of the transaction that is rolled back on the way takes its own contexts with it.
        pg_sys::CurrentMemoryContext = pg_sys::TopTransactionContext;
        let error = pg_sys::CopyErrorData();
        pg_sys::CurrentMemoryContext = context;
        pg_sys::FlushErrorState();
        resume_unwind(Box::new(Thrown(error)))
    }
}

/// The SQLSTATE of an error that [`passing_errors`] has caught; the payload comes back with it.
pub(super) fn state_of(payload: &(dyn std::any::Any + Send)) -> Option<SqlState> {
    // SAFETY: the copy lives until the transaction ends.
    let code = unsafe { (*payload.downcast_ref::<Thrown>()?.0).sqlerrcode };
    Some(SqlState::from(code))
}

/// Runs the body of a function that PostgreSQL calls; errors and panics inside become PostgreSQL errors.
///
/// # Safety
/// As for pgrx's guard: between PostgreSQL and this call nothing waits to be dropped.
pub unsafe fn guarded<T>(body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => match payload.downcast::<Thrown>() {
            Ok(thrown) => {
                let error = thrown.0;
                drop(thrown);
                // SAFETY: the copy lives until the transaction ends.
                unsafe { unguarded::ReThrowError(error) }
            }
            // SAFETY: the caller vouches for the frames; nothing of this one is left to be dropped.
            Err(payload) => unsafe { pgrx_extern_c_guard(move || resume_unwind(payload)) },
        },
    }
}
