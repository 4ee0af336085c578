-- Rows are read where their columns lie: at any place, behind gaps, NULLs, columns that were dropped and such that came later.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
\set oracle :folder /../oracle.sql
\i :oracle
SET client_min_messages = warning;
SET timezone = 'UTC';

-- Writes events of two visitors, either with the other columns of the table NULL or with something in each.
CREATE FUNCTION write_layout(one text, other text, filled boolean, VARIADIC times text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    other_columns record;
BEGIN
    SELECT coalesce(string_agg(', ' || quote_ident(attname), '' ORDER BY attnum), '') AS names,
           coalesce(string_agg(CASE WHEN atttypid = 'boolean'::regtype THEN ', true' ELSE ', ''1''' END, '' ORDER BY attnum), '') AS contents
      INTO other_columns
      FROM pg_attribute
     WHERE attrelid = 'laid_out'::regclass AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('visitor', 'at', 'session_id') AND filled;
    EXECUTE format('INSERT INTO laid_out (visitor, at%s) SELECT visitor, at%s FROM unnest(ARRAY[%L, %L]::%s[]) AS visitor, unnest($1::timestamptz[]) AS at',
                   other_columns.names, other_columns.contents, one, other,
                   (SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'laid_out'::regclass AND attname = 'visitor'))
      USING ARRAY(SELECT '2026-01-01 ' || time FROM unnest(times) AS time);
END $$;

-- A table laid out in some way, with rows that are there before it is tracked.
CREATE FUNCTION lay_out(layout text, one text, other text, VARIADIC changes text[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    change text;
BEGIN
    EXECUTE format('CREATE TABLE laid_out (%s)', layout);
    FOREACH change IN ARRAY changes LOOP
        EXECUTE change;
    END LOOP;
    PERFORM write_layout(one, other, false, '10:00');
    PERFORM write_layout(one, other, true, '10:10');
    PERFORM track_sessions('laid_out', 'visitor', 'at');
END $$;

-- More rows, alone and together, and a correction: each visitor has two sessions of three events.
CREATE FUNCTION finish_layout(one text, other text) RETURNS TABLE (sessions text[], wrong text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM write_layout(one, other, false, '10:20');
    PERFORM write_layout(one, other, true, '12:00');
    PERFORM write_layout(one, other, true, '12:10', '12:50');
    UPDATE laid_out SET at = at - interval '20 minutes' WHERE at = '2026-01-01 12:50';
    sessions := (SELECT array_agg(format('%s: %s', left(session.visitor, 40), event_count) ORDER BY session.visitor, started_at)
                   FROM sessionize.sessions AS session JOIN sessionize.apps USING (app_id) WHERE name = 'laid_out');
    wrong := (SELECT string_agg(w, E'\n') FROM suite.wrong('laid_out') AS w);
    PERFORM untrack_sessions('laid_out');
    PERFORM drop_session_app('laid_out');
    DROP TABLE laid_out;
    RETURN NEXT;
END $$;

-- Of each layout: its columns, two visitors, and what is done to the table before.
CREATE TABLE layouts (columns text, one text, other text, changes text[] DEFAULT '{}', number integer GENERATED ALWAYS AS IDENTITY);
-- The session first, in the middle and at the end.
INSERT INTO layouts VALUES
    ('session_id bigint, visitor integer, at timestamptz', '-7', '8'),
    ('at timestamptz, session_id bigint, visitor text, note text', 'Ann', 'Žofie'),
    ('note text, visitor bigint, at timestamptz, more text, session_id bigint', '9223372036854775807', '1');
-- Gaps before values that want to be aligned, and none before short texts.
INSERT INTO layouts VALUES
    ('flag boolean, visitor smallint, letter "char", at timestamptz, last boolean, session_id bigint', '-1', '32767'),
    ('flag boolean, visitor text, at timestamptz, session_id bigint', 'a', repeat('long ', 100)),
    ('flag boolean, visitor uuid, at timestamptz, session_id bigint', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'),
    ('visitor boolean, number integer, at timestamptz, session_id bigint', 'true', 'false');
-- Columns that were dropped, of a fixed width and of none.
INSERT INTO layouts VALUES
    ('gone integer, visitor bigint, lost text, at timestamptz, session_id bigint', '1', '2',
     ARRAY['INSERT INTO laid_out (gone, lost) VALUES (1, ''lost'')', 'ALTER TABLE laid_out DROP COLUMN gone, DROP COLUMN lost']);
-- Columns that came later than rows: NULL in these, or as their default says. The first of these rows has no column at all.
INSERT INTO layouts VALUES
    ('', '1', '2', ARRAY['INSERT INTO laid_out DEFAULT VALUES', 'ALTER TABLE laid_out ADD COLUMN at timestamptz',
                         'INSERT INTO laid_out VALUES (''2026-01-01 10:05'')', 'ALTER TABLE laid_out ADD COLUMN visitor integer DEFAULT 1']);
SELECT format('SELECT lay_out(columns, one, other, VARIADIC changes) FROM layouts WHERE number = %s', number),
       'CALL backfill_sessions(''laid_out'')',
       format('SELECT finished.* FROM layouts, LATERAL finish_layout(one, other) AS finished WHERE number = %s', number)
  FROM layouts ORDER BY number \gexec

DROP TABLE layouts;
DROP FUNCTION write_layout, lay_out, finish_layout;
