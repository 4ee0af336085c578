//! Rows of users' tables that belong to given sessions, read before a purge with the rights of the table's owner.

use pgrx::pg_sys::{Datum, INT8ARRAYOID, NAMEOID, Oid, REGCLASSOID};

use crate::pg::call::Call;
use crate::pg::error::{Report, SqlState};
use crate::pg::owner::AsOwner;
use crate::pg::rows::{Value, give_rows};
use crate::pg::spi::{Argument, Connection};
use crate::pg::table::{UserTable, quoted};
use crate::pg_function;

/// Whoever may call this must not read just any table with it.
const KNOWN: &str = "
    SELECT session_id::pg_catalog.text
      FROM (SELECT relation, session_id FROM sessionize.attached_tables
            UNION ALL SELECT relation, session_id FROM sessionize.holding_tables) AS known
     WHERE relation OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND session_id OPERATOR(pg_catalog.=) $2
     LIMIT 1";

/// `sessionize.attached_rows(relation, session_id, sessions, contents)`; STRICT.
fn attached_rows(call: &mut Call) -> Datum {
    let [relation, column, sessions] = [0, 1, 2].map(|index| call.datum(index));
    let contents = call.datum(3).is_some_and(|wanted| wanted.value() & 0xff != 0);

    let connection = Connection::open();
    let asked = [Argument::passed(relation), Argument::passed(column)];
    let known = connection.run_once(KNOWN, &asked, &[REGCLASSOID, NAMEOID]).first().and_then(|row| row.text(1));
    let Some(column) = known else {
        Report::new(SqlState::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "table is not known to belong to sessions")
            .hint("Known are those in the views sessionize.attached_tables and sessionize.holding_tables.")
            .raise()
    };
    let oid = relation.map_or(Oid::INVALID, |datum| Oid::from_u32(datum.value() as u32));
    let Some(table) = UserTable::to_read(oid) else {
        return give_rows::<3>(call, &[]);
    };
    let rows = if contents {
        table.require_readable();
        "pg_catalog.jsonb_agg(pg_catalog.to_jsonb(attached.*))"
    } else {
        "NULL::pg_catalog.jsonb"
    };
    let (name, column) = (&table.name, quoted(&column));
    let statement = format!(
        "SELECT asked.id, pg_catalog.count(*), {rows}
           FROM {name} AS attached
           JOIN pg_catalog.unnest($1) AS asked (id) ON attached.{column} OPERATOR(pg_catalog.=) asked.id
          GROUP BY asked.id"
    );
    let found = {
        let _owner = AsOwner::of_users_table(oid);
        connection.run_once(&statement, &[Argument::passed(sessions)], &[INT8ARRAYOID])
    };
    let rows: Vec<[Value; 3]> = found.iter().map(|row| [1, 2, 3].map(|column| Value::Any(row.datum(column)))).collect();
    give_rows(call, &rows)
}

pg_function!(
    /// `sessionize.attached_rows(regclass, name, bigint[], boolean)`
    sessionize_attached_rows, pg_finfo_sessionize_attached_rows, attached_rows
);
