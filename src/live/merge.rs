//! Sessions that become one: what belonged to the absorbed ones moves to the survivor.

use pgrx::pg_sys::{self, Oid};

use super::settings::own_tables;
use super::store::delete_sessions;
use crate::pg::owner::AsOwner;
use crate::pg::spi::{Argument, Connection, Row};
use crate::pg::stored_row::Place;
use crate::pg::table::{UserTable, quoted};

const BIGINT: Oid = pg_sys::INT8OID;
const BIGINTS: Oid = pg_sys::INT8ARRAYOID;

/// The tables that hold session ids, tracked tables of the application and all dependents: the column, whether the table is
/// tracked, and whether a unique key has the column.
const HOLDERS: &str = "
    SELECT holder.relation, quote_ident(holder.session_id), holder.is_tracked,
           EXISTS (SELECT FROM pg_index AS key, pg_attribute AS known
                    WHERE key.indrelid = holder.relation AND key.indisunique
                      AND known.attrelid = holder.relation AND known.attname = holder.session_id
                      AND known.attnum = ANY (key.indkey))
      FROM (SELECT events::oid AS relation, session_id::text, true AS is_tracked
              FROM sessionize.tracked_tables
             WHERE app_id = $1
             UNION
            SELECT relation::oid, session_id::text, false
              FROM sessionize.dependents) AS holder
     ORDER BY 1";

const MOVE_MERGED: &str = "
    UPDATE sessionize.merged_sessions AS known SET survivor = merged.survivor
      FROM unnest($1, $2) AS merged (absorbed, survivor)
     WHERE known.survivor = merged.absorbed";

const NOTE_MERGED: &str = "
    INSERT INTO sessionize.merged_sessions (absorbed, survivor, app_id)
    SELECT absorbed, survivor, $3 FROM unnest($1, $2) AS merged (absorbed, survivor)
        ON CONFLICT DO NOTHING";

const MOVE_CHANGES: &str = "
    UPDATE sessionize.session_changes AS change SET session_id = merged.survivor
      FROM unnest($1, $2) AS merged (absorbed, survivor)
     WHERE change.session_id = merged.absorbed";

// The highest risk wins, and so does the highest score with its rules and the highest of the marks set by hand, each by
// itself: people's decisions outlive findings. The order is that of the earliest conversion, which the survivor has taken over.
const MOVE_STANDING: &str = "
    UPDATE sessionize.sessions AS kept
       SET risk = highest.risk, risk_score = highest.score, risk_reasons = highest.reasons, order_ref = highest.order_ref
      FROM (SELECT survivor, risk, score, order_ref,
                   nullif(jsonb_strip_nulls(jsonb_build_object('rules', rules, 'set_by_hand', mark)), '{}') AS reasons
              FROM (SELECT merged.survivor, max(member.risk_score) AS score,
                           (array_agg(member.risk ORDER BY array_position(level.names, member.risk) DESC))[1] AS risk,
                           (array_agg(member.risk_reasons -> 'rules' ORDER BY member.risk_score DESC, member.session_id))[1] AS rules,
                           (array_agg(member.risk_reasons -> 'set_by_hand'
                                      ORDER BY array_position(level.names, member.risk_reasons #>> '{set_by_hand,risk}') DESC NULLS LAST,
                                               member.session_id))[1] AS mark,
                           (array_agg(member.order_ref ORDER BY member.converted_at, member.session_id = merged.survivor)
                            FILTER (WHERE member.order_ref IS NOT NULL))[1] AS order_ref
                      FROM (VALUES ('{normal,monitored,review,restricted}'::text[])) AS level (names),
                           (SELECT * FROM unnest($1, $2)
                             UNION
                            SELECT survivor, survivor FROM unnest($2) AS itself (survivor)) AS merged (absorbed, survivor)
                      JOIN sessionize.sessions AS member ON member.session_id = merged.absorbed
                     GROUP BY merged.survivor) AS best) AS highest
     WHERE kept.session_id = highest.survivor
       AND (kept.risk, kept.risk_score, kept.risk_reasons, kept.order_ref)
           IS DISTINCT FROM (highest.risk, highest.score, highest.reasons, highest.order_ref)";

/// Carries out merges of stored sessions, each absorbed one paired with its final survivor.
pub fn merge(app: i32, merged: &[(i64, i64)]) {
    if merged.is_empty() {
        return;
    }
    let holders: Vec<(Oid, String, bool, bool)> = {
        let _owner = AsOwner::for_look_ups(own_tables().sessions);
        let connection = Connection::open();
        for sql in [MOVE_MERGED, MOVE_CHANGES, MOVE_STANDING] {
            connection.run_once(sql, &pairs(merged), &[BIGINTS, BIGINTS]);
        }
        note_merged(&connection, app, merged);
        let rows = connection.run_once(HOLDERS, &[Argument::integer(app)], &[pg_sys::INT4OID]);
        let holder = |row: Row| Some((row.oid(1)?, row.text(2)?, row.flag(3)?, row.flag(4)?));
        rows.iter().filter_map(holder).collect()
    };
    for (relation, column, is_tracked, is_unique) in holders {
        let Some(UserTable { name, own, .. }) = UserTable::to_change(relation) else { continue };
        let name = if is_tracked { own } else { name };
        let _owner = AsOwner::of_users_table(relation);
        let connection = Connection::open();
        let sql = format!(
            "UPDATE {name} AS belonging SET {column} = merged.survivor
               FROM unnest($1, $2) AS merged (absorbed, survivor)
              WHERE belonging.{column} OPERATOR(pg_catalog.=) merged.absorbed"
        );
        if !is_unique {
            connection.look_up_once(&sql, &pairs(merged), &[BIGINTS, BIGINTS]);
            continue;
        }
        // Where both sessions have rows these stay apart: the absorbed id goes on resolving.
        let sql = format!(
            "{sql} AND NOT EXISTS (SELECT FROM {name} AS taken WHERE taken.{column} OPERATOR(pg_catalog.=) merged.survivor)"
        );
        for pair in merged {
            connection.look_up_once(&sql, &pairs(std::slice::from_ref(pair)), &[BIGINTS, BIGINTS]);
        }
    }
    let _owner = AsOwner::for_look_ups(own_tables().sessions).merging();
    let absorbed: Vec<i64> = merged.iter().map(|(absorbed, _)| *absorbed).collect();
    delete_sessions(&Connection::open(), &absorbed);
}

/// Absorbed sessions and survivors, as arrays.
fn pairs(merged: &[(i64, i64)]) -> [Argument; 2] {
    [
        Argument::wide_array(BIGINT, merged.iter().map(|(absorbed, _)| Some(*absorbed))),
        Argument::wide_array(BIGINT, merged.iter().map(|(_, survivor)| Some(*survivor))),
    ]
}

fn note_merged(connection: &Connection, app: i32, merged: &[(i64, i64)]) {
    let [absorbed, survivors] = pairs(merged);
    connection.run_once(
        NOTE_MERGED,
        &[absorbed, survivors, Argument::integer(app)],
        &[BIGINTS, BIGINTS, pg_sys::INT4OID],
    );
}

/// Lets ids that rows still carry resolve although no session has them: each with the session of its rows.
pub fn note_stray(app: i32, strays: &[(i64, i64)]) {
    let _owner = AsOwner::for_look_ups(own_tables().sessions);
    note_merged(&Connection::open(), app, strays);
}

/// Writes sessions into event rows of one table or partition; says whether all rows still were in their places.
pub fn point_rows(relation: Oid, column: &str, rows: &[(Place, Option<i64>)]) -> bool {
    let Some(table) = UserTable::to_change(relation) else { return true };
    let (name, column) = (&table.name, quoted(column));
    let connection = Connection::open();
    let _owner = AsOwner::of_users_table(relation);
    let sql = format!(
        "UPDATE ONLY {name} AS event SET {column} = assigned.session_id
           FROM unnest($1, $2) AS assigned (place, session_id)
          WHERE event.ctid OPERATOR(pg_catalog.=) assigned.place"
    );
    let places = Argument::row_array(rows.iter().map(|(place, _)| place.pointer()));
    let sessions = Argument::wide_array(BIGINT, rows.iter().map(|(_, session)| *session));
    connection.look_up_once(&sql, &[places, sessions], &[pg_sys::TIDARRAYOID, BIGINTS]).count() == rows.len()
}
