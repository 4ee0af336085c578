//! Which session an event that arrives belongs to: the rule that triggers, backfill and rebuilding share.

mod app;
mod event;
mod history;
mod session;

pub use app::App;
pub use event::{Effect, Event, LONGEST_VISITOR, Unassigned};
pub use history::History;
pub use session::{REOPENABLE, Said, Session, State};
