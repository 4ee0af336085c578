//! What can be wrong with a rule or a stored set, in words for the person who caused it.

use std::borrow::Cow;
use std::collections::TryReserveError;
use std::fmt;

/// The result of anything that checks its input.
pub type Result<T> = std::result::Result<T, Error>;

/// A mistake in the input. [`Display`](fmt::Display) gives the primary message,
/// [`Error::detail`] what is wrong and [`Error::hint`] what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The inactivity timeout is not between 1 microsecond and 366 days.
    TimeoutOutOfRange(String),
    /// The boundary is neither `exclusive` nor `inclusive`.
    UnknownBoundary(String),
    /// The time zone is not in the IANA database.
    UnknownZone(String),
    /// Two sets, or two events of one set, follow different rules.
    DifferentRules(String, String),
    /// The bytes were written by a later version of the format.
    ForeignVersion(u64),
    /// The bytes are not a session set.
    CorruptBytes(&'static str),
    /// The text is not a session set.
    InvalidText(String),
    /// There is no memory for the sessions of a set.
    OutOfMemory,
}

/// What somebody has given, short enough for a message.
fn shortened(given: &str) -> Cow<'_, str> {
    const LONGEST: usize = 200;
    match given.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}...", &given[..end])),
        None => Cow::Borrowed(given),
    }
}

impl From<TryReserveError> for Error {
    fn from(_: TryReserveError) -> Self {
        Error::OutOfMemory
    }
}

impl Error {
    /// What exactly is wrong.
    pub fn detail(&self) -> Option<String> {
        match self {
            Error::TimeoutOutOfRange(given) => Some(format!("The inactivity timeout given is {given}.")),
            Error::DifferentRules(one, other) => Some(format!("One follows \"{one}\", the other \"{other}\".")),
            Error::ForeignVersion(version) => Some(format!(
                "The value has format version {version}; this library reads version {}.",
                crate::encoding::VERSION
            )),
            Error::CorruptBytes(what) => Some(format!("The bytes hold {what}.")),
            Error::InvalidText(what) => Some(shortened(what).into_owned()),
            Error::UnknownBoundary(_) | Error::UnknownZone(_) | Error::OutOfMemory => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::TimeoutOutOfRange(_) => {
                "Use a positive interval of up to 366 days without months, such as '30 minutes'; a day counts 24 hours."
            }
            Error::UnknownBoundary(_) => "Valid boundaries are \"exclusive\" and \"inclusive\".",
            Error::UnknownZone(_) => {
                "Use a name of the IANA time zone database, such as \"Europe/Prague\" or \"UTC\"; see pg_timezone_names."
            }
            Error::DifferentRules(..) => "Sessionize all events with the same rule before bringing the sets together.",
            Error::ForeignVersion(_) => "Install the version of pg_sessionize that wrote the value, or a later one.",
            Error::CorruptBytes(_) => "Send the bytes exactly as sessionset's binary output gave them.",
            Error::InvalidText(_) => "Write the value exactly as sessionset's text output gives it.",
            Error::OutOfMemory => "Bring together fewer sessions in one set, or give the server more memory.",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TimeoutOutOfRange(_) => write!(formatter, "inactivity timeout is out of range"),
            Error::UnknownBoundary(given) => write!(formatter, "boundary \"{}\" is not known", shortened(given)),
            Error::UnknownZone(given) => write!(formatter, "time zone \"{}\" is not known", shortened(given)),
            Error::DifferentRules(..) => write!(formatter, "session sets of different rules cannot be merged"),
            Error::ForeignVersion(_) => write!(formatter, "session set has a format version that is not known"),
            Error::CorruptBytes(_) => write!(formatter, "session set bytes are corrupt"),
            Error::InvalidText(_) => write!(formatter, "invalid text for a session set"),
            Error::OutOfMemory => write!(formatter, "out of memory"),
        }
    }
}

impl std::error::Error for Error {}
