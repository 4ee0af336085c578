//! Errors as people see them: SQLSTATE, message, DETAIL, HINT.

use pgrx::PgLogLevel;
pub use pgrx::PgSqlErrorCode as SqlState;
use pgrx::pg_sys::panic::ErrorReport;
use sessionize_core::Error;

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
        let mut report = ErrorReport::new(self.state, self.message, "pg_sessionize");
        if let Some(detail) = self.detail {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint {
            report = report.set_hint(hint);
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
