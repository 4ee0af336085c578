-- Events of the sessions that retention_population.sql made; and visitors, sessions and events twice the same without
-- triggers: bare, and linked by a foreign key that cascades.
CREATE TABLE events (visitor text, at timestamptz, page text DEFAULT '/products/shoes/winter/43');
SELECT track_sessions('events', 'visitor', 'at', app => 'retention') \g /dev/null
ALTER TABLE events DISABLE TRIGGER USER;
INSERT INTO events (visitor, at, session_id)
SELECT visitor, started_at + make_interval(mins => 2 * number), session_id
  FROM sessionize.sessions, generate_series(0, 4) AS number
 ORDER BY started_at, session_id, number;
ALTER TABLE events ENABLE TRIGGER USER;

CREATE TABLE bare_visitors (LIKE sessionize.visitors INCLUDING ALL);
INSERT INTO bare_visitors SELECT * FROM sessionize.visitors;
CREATE TABLE bare_sessions (LIKE sessionize.sessions INCLUDING ALL);
INSERT INTO bare_sessions SELECT * FROM sessionize.sessions ORDER BY session_id;
CREATE TABLE bare_events (LIKE events INCLUDING ALL);
INSERT INTO bare_events SELECT * FROM events ORDER BY at;

CREATE TABLE linked_visitors (LIKE sessionize.visitors INCLUDING ALL);
INSERT INTO linked_visitors SELECT * FROM sessionize.visitors;
CREATE TABLE linked_sessions (LIKE sessionize.sessions INCLUDING ALL);
INSERT INTO linked_sessions SELECT * FROM sessionize.sessions ORDER BY session_id;
CREATE TABLE linked_events (LIKE events INCLUDING ALL);
INSERT INTO linked_events SELECT * FROM events ORDER BY at;
ALTER TABLE linked_events ADD FOREIGN KEY (session_id) REFERENCES linked_sessions ON DELETE CASCADE;
VACUUM (ANALYZE);
