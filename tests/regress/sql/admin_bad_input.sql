-- Bad input gives a clear error or an empty page, never a wrong page.
\getenv folder PG_ABS_SRCDIR
\set helper :folder /helper.sql
\i :helper
SET client_min_messages = warning;
CREATE TABLE bad_events (visitor text, occurred_at timestamptz);
SELECT track_sessions('bad_events', 'visitor', 'occurred_at', app => 'bad input') > 0 AS tracked FROM create_session_app('bad input');
INSERT INTO bad_events SELECT visitor, now() FROM unnest(ARRAY['anna', 'o''hara', '100%', 'a_b', '10.0.0.0/33', repeat('x', 1000)]) AS visitor;
UPDATE sessionize.sessions SET token = substr(md5(visitor), 1, 16) WHERE app_id = sessionize.app_id('bad input');

SELECT regexp_replace(suite.complaint('SELECT count(*) FROM list_sessions(' || arguments || ')'), 'Known are: .*', 'Known are: …') AS complaint
  FROM unnest(ARRAY['status => $$pending$$', 'risk => $$high$$', '$$no such app$$', 'page_size => 0', 'page_size => 1000000', 'page_size => -1',
                    'after => $$x$$', 'after => $$$$', 'after => repeat($$0$$, 48)', 'after => repeat($$é$$, 24)', 'after => repeat($$f$$, 10000)',
                    'status => $$$$', 'status => $$ active $$', 'risk => repeat($$x$$, 10000)', 'page_size => 2147483647']) WITH ORDINALITY AS list (arguments, place) ORDER BY place;
SELECT regexp_replace(suite.complaint('SELECT count_sessions(' || arguments || ')'), 'Known are: .*', 'Known are: …') AS complaint
  FROM unnest(ARRAY['status => $$pending$$', 'risk => $$high$$', '$$no such app$$']) WITH ORDINALITY AS list (arguments, place) ORDER BY place;

\qecho 'a cursor of another list'
SELECT cursor FROM list_sessions('bad input', page_size => 1) \gset
SELECT count(*) FROM list_sessions('bad input', after => :'cursor', page_size => 7);
SELECT regexp_replace(suite.complaint(format('SELECT * FROM list_sessions(%s, after => %L)', arguments, :'cursor')), '"[0-9a-f]{48}"', '…')
  FROM unnest(ARRAY['$$bad input$$, $$active$$', '$$bad input$$, risk => $$review$$', '$$bad input$$, search => $$a$$', 'NULL']) AS arguments;

\qecho 'NULL means any, or the default'
SELECT count(*) FROM list_sessions('bad input', NULL, NULL, NULL, NULL, NULL, NULL);
SELECT count_sessions('bad input', NULL, NULL, NULL, NULL), count_sessions('bad input', search => '  ');

\qecho 'searches that look like something else are taken for what they are'
SELECT left(search, 40) AS search, count_sessions('bad input', search => search),
       (SELECT string_agg(left(visitor, 20), ' ') FROM list_sessions('bad input', search => search)) AS visitors
  FROM unnest(ARRAY['%', '_', '''', '"', '\', 'o''hara', '100%', 'a_b', '10.0.0.0/33', '10.0.0.0/8', '10.0.0.0/-1', '10.0.0.1/', '999.1.1.1', '::', ':::', '::/129', '/24', '%s', '%1$L', E'\\x00', E'\u0001', E'tab\there', repeat('%', 10000),
                    repeat('x', 1000), repeat('y', 10000), $$' OR true --$$, $$') OR (true$$, '🇨🇿', 'Atlantis']) WITH ORDINALITY AS list (search, place)
 ORDER BY place;

\qecho 'instants without an end'
SELECT at, (SELECT count(*) FROM list_sessions('bad input', 'expired', at => at)) AS expired, count_sessions('bad input', 'active', at => at) AS active
  FROM unnest(ARRAY['infinity', '-infinity', '4714-11-24 BC', '294276-12-31 23:59:59+00']::timestamptz[]) AS at;

\qecho 'assessment and thresholds'
SELECT regexp_replace(suite.complaint('SELECT ' || call), 'Known are: .*', 'Known are: …') AS complaint
  FROM unnest(ARRAY['assess_session_risk($$no such app$$)', 'assess_session_risk(since => $$-1 day$$)', 'assess_session_risk(since => NULL)',
                    'visitor_risk($$no such app$$, $$x$$)', 'set_risk_thresholds(NULL)', 'set_risk_thresholds($$bad input$$, 90, 10)', 'set_risk_thresholds($$bad input$$, 100000)',
                    'assess_session_risk($$bad input$$, $$178000000 years$$)',
                    'grant_session_reader($$no such role$$)', 'grant_session_admin(NULL)', 'index_session_tokens()']) WITH ORDINALITY AS list (call, place) ORDER BY place;
\qecho 'an application that has tracked tables is not deleted, in whatever way'
SELECT suite.complaint('DELETE FROM sessionize.apps WHERE name = $$bad input$$');
DROP TABLE bad_events;
