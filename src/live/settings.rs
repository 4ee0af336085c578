//! What a trigger needs to know about its table and application, read once and kept until it changes.

use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::RefCell;
use std::rc::Rc;

use pgrx::pg_sys::{self, Oid};
use sessionize_core::assignment::{App, Effect, LONGEST_VISITOR};
use sessionize_core::facts::FACTS;
use sessionize_core::{Boundary, Calendar, Rule, Zone};

use crate::pg::error::{OrRaise, Report, SqlState};
use crate::pg::owner::AsOwner;
use crate::pg::spi::{Argument, Connection, Row};
use crate::pg::stored_row::{Column, StoredRow, TextOf};
use crate::pg::transaction;
use crate::pg::trigger::Firing;

/// An application's rules and kinds.
pub struct AppSettings {
    /// Its id.
    pub id: i32,
    /// Its rules.
    pub app: App,
    /// The calendar that its rule wants.
    pub calendar: RefCell<Calendar>,
    passive: FxHashSet<String>,
    conversions: FxHashSet<String>,
    cancellations: FxHashSet<String>,
}

impl AppSettings {
    /// Whether the kind of an event can make a difference.
    pub fn knows_kinds(&self) -> bool {
        !(self.passive.is_empty() && self.conversions.is_empty() && self.cancellations.is_empty())
    }

    /// What events of a kind do; no kind qualifies.
    pub fn effect(&self, kind: Option<&str>) -> Effect {
        match kind {
            Some(kind) if self.passive.contains(kind) => Effect::Passive,
            Some(kind) if self.conversions.contains(kind) => Effect::Converts,
            Some(kind) if self.cancellations.contains(kind) => Effect::Cancels,
            _ => Effect::Qualifies,
        }
    }
}

/// A column and how its values become text.
#[derive(Clone, Copy)]
pub struct TextColumn {
    column: Column,
    text_of: TextOf,
}

impl TextColumn {
    /// The value in a row.
    pub fn of(&self, row: &StoredRow) -> Option<String> {
        let mut text = String::new();
        self.write(row, &mut text).then_some(text)
    }

    /// Writes the value in a row into a buffer; says whether it was not NULL.
    #[inline]
    pub fn write(&self, row: &StoredRow, buffer: &mut String) -> bool {
        row.write_text(&self.column, &self.text_of, buffer)
    }
}

/// The columns of one table or partition.
pub struct Columns {
    /// Who.
    visitor: TextColumn,
    /// When.
    pub occurred_at: Column,
    /// What.
    pub kind: Option<TextColumn>,
    /// When the database learned of it.
    pub received_at: Option<Column>,
    /// The session.
    pub session_id: Column,
    /// Facts, in the order of [`FACT_RULES`].
    pub facts: Option<Box<[Option<TextColumn>; FACTS]>>,
}

impl Columns {
    /// Writes the visitor of a row into a buffer; says whether there is one.
    #[inline]
    pub fn write_visitor(&self, row: &StoredRow, buffer: &mut String) -> bool {
        self.visitor.write(row, buffer) && buffer.len() <= LONGEST_VISITOR
    }

    /// The visitor of a row.
    pub fn visitor_of(&self, row: &StoredRow) -> Option<String> {
        let mut visitor = String::new();
        self.write_visitor(row, &mut visitor).then_some(visitor)
    }
}

/// A tracked table, as seen from the table or partition that a trigger fires on.
pub struct Tracked {
    /// The number that the triggers carry.
    pub tracking: i32,
    /// Its application.
    pub app: Rc<AppSettings>,
    /// The columns of the table or partition that the trigger fires on.
    pub columns: Columns,
    /// Whether that is a partition of the tracked table: only there rows arrive that an UPDATE moved.
    pub is_partition: bool,
    /// The name of the column that takes the session.
    pub session_column: String,
}

/// The tables of the extension that the triggers use.
#[derive(Clone, Copy)]
pub struct OwnTables {
    /// `sessionize.sessions`
    pub sessions: Oid,
    /// Its primary key.
    pub sessions_pkey: Oid,
    /// Its index by visitor.
    pub sessions_of_visitor: Oid,
    /// `sessionize.session_ids`
    pub session_ids: Oid,
    /// `sessionize.visitors`
    pub visitors: Oid,
}

#[derive(Default)]
struct Known {
    changes: u64,
    own: Option<OwnTables>,
    tracked: FxHashMap<(Oid, i32), Rc<Tracked>>,
    apps: FxHashMap<i32, Rc<AppSettings>>,
    latest: Option<(Oid, i32, Rc<Tracked>)>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// Forgets everything if anything was changed since it was read.
fn refresh(known: &mut Known) {
    let changes = transaction::changes();
    if known.changes != changes {
        *known = Known { changes, ..Known::default() };
    }
}

/// The tables of the extension.
pub fn own_tables() -> OwnTables {
    KNOWN.with_borrow_mut(|known| {
        refresh(known);
        *known.own.get_or_insert_with(|| {
            let find = |name| {
                transaction::own_relation(name).unwrap_or_else(|| {
                    Report::new(SqlState::ERRCODE_UNDEFINED_TABLE, "the tables of pg_sessionize are missing")
                        .hint("Run CREATE EXTENSION pg_sessionize, or drop the triggers that are left of it.")
                        .raise()
                })
            };
            let own = OwnTables {
                sessions: find(c"sessions"),
                sessions_pkey: find(c"sessions_pkey"),
                sessions_of_visitor: find(c"sessions_of_visitor"),
                session_ids: find(c"session_ids"),
                visitors: find(c"visitors"),
            };
            for watched in [own.sessions, find(c"apps"), find(c"tracked_tables")] {
                transaction::watch(watched);
            }
            own
        })
    })
}

/// What a firing needs to know. Raises 39P01 where the trigger stands on a table that is not tracked under its number.
pub fn of_firing(firing: &Firing) -> Rc<Tracked> {
    let relation = firing.relation();
    let tracking = firing.number().unwrap_or_else(|| raise_misused(firing));
    let same = |(known_relation, known_tracking, _): &&(Oid, i32, Rc<Tracked>)| {
        (*known_relation, *known_tracking) == (relation, tracking)
    };
    let latest = KNOWN.with_borrow(|known| {
        let is_current = known.changes == transaction::changes();
        known.latest.as_ref().filter(|_| is_current).filter(same).map(|(.., tracked)| Rc::clone(tracked))
    });
    latest.unwrap_or_else(|| find_tracked(firing, relation, tracking))
}

#[cold]
fn find_tracked(firing: &Firing, relation: Oid, tracking: i32) -> Rc<Tracked> {
    let tracked = tracked(relation, tracking).unwrap_or_else(|| raise_misused(firing));
    KNOWN.with_borrow_mut(|known| known.latest = Some((relation, tracking, Rc::clone(&tracked))));
    tracked
}

/// A tracked table by its tracking number, as seen from the table itself or one of its partitions; none where it is not
/// tracked under that number.
pub fn tracked(relation: Oid, tracking: i32) -> Option<Rc<Tracked>> {
    own_tables();
    if let Some(tracked) = KNOWN.with_borrow(|known| known.tracked.get(&(relation, tracking)).cloned()) {
        return Some(tracked);
    }
    transaction::watch(relation);
    let tracked = Rc::new(read_tracked(relation, tracking)?);
    KNOWN.with_borrow_mut(|known| known.tracked.insert((relation, tracking), Rc::clone(&tracked)));
    Some(tracked)
}

fn raise_misused(firing: &Firing) -> ! {
    let name = firing.relation_name();
    Report::new(
        SqlState::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
        format!("trigger of pg_sessionize on table \"{name}\", which is not tracked"),
    )
    .detail("The trigger's argument is not the tracking number of this table.")
    .hint("Drop the trigger, and call track_sessions() for the table.")
    .raise()
}

/// An application by its id.
pub fn app(id: i32) -> Rc<AppSettings> {
    own_tables();
    if let Some(app) = KNOWN.with_borrow(|known| known.apps.get(&id).cloned()) {
        return app;
    }
    let app = Rc::new(read_app(id));
    KNOWN.with_borrow_mut(|known| known.apps.insert(id, Rc::clone(&app)));
    app
}

const READ_APP: &str = "
    SELECT policy,
           (extract(epoch FROM timeout) * 1000000)::bigint,
           boundary,
           time_zone,
           (extract(epoch FROM grace) * 1000000)::bigint,
           (extract(epoch FROM max_skew) * 1000000)::bigint,
           passive_kinds, conversion_kinds, cancellation_kinds
      FROM sessionize.apps
     WHERE app_id = $1";

fn read_app(id: i32) -> AppSettings {
    let _owner = AsOwner::of_relation(own_tables().sessions);
    let connection = Connection::open();
    let rows = connection.run_once(READ_APP, &[Argument::integer(id)], &[pg_sys::INT4OID]);
    let row = rows.first().unwrap_or_else(|| {
        Report::new(SqlState::ERRCODE_INVALID_PARAMETER_VALUE, format!("application with id {id} is not known")).raise()
    });
    let number = |column| row.bigint(column).unwrap_or_default();
    let kinds = |column| row.array::<String>(column).unwrap_or_default().into_iter().flatten().collect();
    let rule = match row.text(1).as_deref() {
        Some("midnight") => Zone::parse(&row.text(4).unwrap_or_default()).map(|zone| Rule::Midnight { zone }),
        _ => Boundary::parse(&row.text(3).unwrap_or_default()).and_then(|boundary| Rule::timeout(number(2), boundary)),
    };
    let rule = rule.or_raise();
    AppSettings {
        id,
        app: App { rule, grace: number(5), max_skew: number(6) },
        calendar: RefCell::new(rule.calendar()),
        passive: kinds(7),
        conversions: kinds(8),
        cancellations: kinds(9),
    }
}

const READ_TRACKED: &str = "
    SELECT events::oid, app_id, visitor::text, occurred_at::text, session_id::text, kind::text, received_at::text,
           customer::text, ip::text, country::text, channel::text, cart_items::text, cart_value::text, currency::text
      FROM sessionize.tracked_tables
     WHERE tracking_id = $1
       AND ($2 = events OR events IN (SELECT relid FROM pg_partition_ancestors($2)))";

fn read_tracked(relation: Oid, tracking: i32) -> Option<Tracked> {
    let _owner = AsOwner::of_relation(own_tables().sessions);
    let connection = Connection::open();
    let arguments = [Argument::integer(tracking), Argument::oid(relation)];
    let rows = connection.run_once(READ_TRACKED, &arguments, &[pg_sys::INT4OID, pg_sys::REGCLASSOID]);
    let row = rows.first()?;
    let text_column = |column| row.text(column).map(|name| text_column(relation, &name));
    let facts: [Option<TextColumn>; FACTS] = std::array::from_fn(|place| text_column(8 + place));
    let columns = Columns {
        visitor: text_column(3)?,
        occurred_at: typed_column(&row, relation, 4, pg_sys::TIMESTAMPTZOID)?,
        session_id: typed_column(&row, relation, 5, pg_sys::INT8OID)?,
        kind: text_column(6),
        received_at: typed_column(&row, relation, 7, pg_sys::TIMESTAMPTZOID),
        facts: facts.iter().any(Option::is_some).then(|| Box::new(facts)),
    };
    let (events, app_id) = (row.oid(1)?, row.integer(2)?);
    let session_column = row.text(5)?;
    transaction::watch(events);
    Some(Tracked { tracking, app: app(app_id), columns, is_partition: relation != events, session_column })
}

fn find_column(relation: Oid, name: &str) -> Column {
    Column::find(relation, name).unwrap_or_else(|| {
        Report::new(SqlState::ERRCODE_UNDEFINED_COLUMN, format!("tracked column \"{name}\" does not exist"))
            .hint("Call untrack_sessions() and track_sessions() with the columns that the table has.")
            .raise()
    })
}

fn text_column(relation: Oid, name: &str) -> TextColumn {
    let column = find_column(relation, name);
    TextColumn { column, text_of: TextOf::of(column.type_oid) }
}

fn typed_column(row: &Row, relation: Oid, column: usize, expected: Oid) -> Option<Column> {
    let name = row.text(column)?;
    let column = find_column(relation, &name);
    if column.type_oid != expected {
        Report::new(
            SqlState::ERRCODE_DATATYPE_MISMATCH,
            format!("tracked column \"{name}\" has another type than it had"),
        )
        .hint("The instant must be timestamptz and the session bigint.")
        .raise();
    }
    Some(column)
}
