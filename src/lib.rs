//! pg_sessionize: events that an application already stores become sessions inside PostgreSQL.
//!
//! `pg` wraps PostgreSQL, `batch` holds the aggregates over whole tables, `live` the triggers that put each inserted
//! event into its session, `admin` what panels show, `retention` what goes with a session; the rules are in the crate
//! `sessionize-core`.

pgrx::pg_module_magic!();

mod admin;
mod batch;
mod live;
mod pg;
mod retention;

/// Called once when the library is loaded.
#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    pg::own_settings::define();
}

pgrx::extension_sql_file!("../sql/batch.sql", name = "batch");
pgrx::extension_sql_file!("../sql/schema.sql", name = "schema", requires = ["batch"]);
pgrx::extension_sql_file!("../sql/apps.sql", name = "apps", requires = ["schema"]);
pgrx::extension_sql_file!("../sql/tracking.sql", name = "tracking", requires = ["apps"]);
pgrx::extension_sql_file!("../sql/backfill.sql", name = "backfill", requires = ["tracking"]);
pgrx::extension_sql_file!("../sql/status.sql", name = "status", requires = ["backfill"]);
pgrx::extension_sql_file!("../sql/display.sql", name = "display", requires = ["status"]);
pgrx::extension_sql_file!("../sql/search.sql", name = "search", requires = ["display"]);
pgrx::extension_sql_file!("../sql/lists.sql", name = "lists", requires = ["search"]);
pgrx::extension_sql_file!("../sql/lifecycle.sql", name = "lifecycle", requires = ["lists"]);
pgrx::extension_sql_file!("../sql/details.sql", name = "details", requires = ["lifecycle"]);
pgrx::extension_sql_file!("../sql/facts.sql", name = "facts", requires = ["details"]);
pgrx::extension_sql_file!("../sql/risk.sql", name = "risk", requires = ["facts"]);
pgrx::extension_sql_file!("../sql/assessment.sql", name = "assessment", requires = ["risk"]);
pgrx::extension_sql_file!("../sql/dependents.sql", name = "dependents", requires = ["assessment"]);
pgrx::extension_sql_file!("../sql/inactivity.sql", name = "inactivity", requires = ["dependents"]);
pgrx::extension_sql_file!("../sql/purge.sql", name = "purge", requires = ["inactivity"]);
pgrx::extension_sql_file!("../sql/export.sql", name = "export", requires = ["purge"]);
pgrx::extension_sql_file!("../sql/sweep.sql", name = "sweep", requires = ["export"]);
pgrx::extension_sql_file!("../sql/schedule.sql", name = "schedule", requires = ["sweep"]);
pgrx::extension_sql_file!("../sql/statistics.sql", name = "statistics", requires = ["schedule"]);
pgrx::extension_sql_file!("../sql/visitor_totals.sql", name = "visitor_totals", requires = ["statistics"]);
pgrx::extension_sql_file!("../sql/rights.sql", name = "rights", finalize);
