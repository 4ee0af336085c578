-- What a purge would delete, as documents to keep elsewhere.

CREATE FUNCTION export_inactive_sessions(days integer, app text DEFAULT NULL, anonymous boolean DEFAULT NULL) RETURNS SETOF jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    condition constant text := sessionize.inactive_condition(sessionize.inactive_since($1, now()), now(), $3);
    ids constant bigint[] := (sessionize.choose_sessions(sessionize.app_id($2), condition)).ids;
    chunk bigint[];
BEGIN
    FOR place IN 1 .. cardinality(ids) BY 1000 LOOP
        chunk := ids[place : place + 999];
        RETURN QUERY
            WITH belonging AS (
                SELECT attached_row.session, attached.events, jsonb_object_agg(attached.relation::text, attached_row.rows) AS tables
                  FROM sessionize.attached_tables AS attached,
                       LATERAL sessionize.attached_rows(attached.relation, attached.session_id, chunk, true) AS attached_row
                 WHERE attached.on_purge = 'delete'
                 GROUP BY attached_row.session, attached.events
            )
            SELECT jsonb_build_object(
                       'session', to_jsonb(session.*),
                       'events', coalesce(event.tables, '{}'),
                       'dependents', coalesce(dependent.tables, '{}'),
                       'changes', coalesce((SELECT jsonb_agg(to_jsonb(change) ORDER BY change.change_id)
                                              FROM sessionize.session_changes AS change WHERE change.session_id = session.session_id), '[]'),
                       'merged', coalesce((SELECT jsonb_agg(to_jsonb(merged) ORDER BY merged.absorbed)
                                             FROM sessionize.merged_sessions AS merged WHERE merged.survivor = session.session_id), '[]'))
              FROM unnest(chunk) AS wanted (session_id)
              JOIN sessionize.sessions AS session USING (session_id)
              LEFT JOIN belonging AS event ON event.session = session.session_id AND event.events
              LEFT JOIN belonging AS dependent ON dependent.session = session.session_id AND NOT dependent.events;
    END LOOP;
END $$;
COMMENT ON FUNCTION export_inactive_sessions(integer, text, boolean) IS
    'one document for each session that a purge with the same arguments would delete, with all that would go with it: session, events and dependents by table, changes, merged. Takes the right to read these tables in full';
