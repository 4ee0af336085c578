//! Each event as it arrives: the triggers that put inserted rows into their sessions.
//!
//! A statement goes through three moments. *Assign* (before each row) guesses the session from what
//! this connection remembers. *Record* (after each row) notes the rows that really went in. *Settle*
//! (after the statement) makes the guesses true: locks, reads afresh, decides, writes.

mod backfill;
mod backlog;
mod by_session;
mod grow;
mod guess;
mod merge;
mod names;
mod rebuild;
mod record;
mod rows;
mod said;
mod settings;
mod settle;
mod statement;
mod store;
mod triggers;
