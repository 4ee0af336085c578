-- Visitors who have been away for longer and longer, each with two or three sessions within ten days. Written directly,
-- for what is measured is not how they came about. Variables: sessions, how many about; days, back to when.
SELECT setseed(0.5) \g /dev/null
SELECT create_session_app('retention') AS app \gset
ALTER TABLE sessionize.sessions DISABLE TRIGGER USER;
INSERT INTO sessionize.visitors (app_id, visitor)
SELECT :app, 'visitor-' || v FROM generate_series(1, :sessions * 2 / 5) AS v;
INSERT INTO sessionize.sessions (session_id, started_at, last_event_at, closes_at, expires_at, opened_at, next_started_at,
                                 event_count, app_id, last_event_day, visitor, token, customer, country)
SELECT nextval('sessionize.session_ids'), start, start + '10 minutes', start + '40 minutes', start + '24:40', start, 'infinity',
       5, :app, ((start + '10 minutes') AT TIME ZONE 'UTC')::date, 'visitor-' || v,
       translate(substr(encode(decode(md5(random()::text || v), 'hex'), 'base64'), 1, 16), '+/', '-_'),
       CASE WHEN v % 4 = 0 THEN 'customer-' || v END, (ARRAY['CZ', 'DE', 'BR', 'IN'])[1 + v % 4]
  FROM (SELECT v, date_trunc('hour', now()) - interval '30 hours'
                  - make_interval(secs => 86400 * (mod(v * 7919::bigint, :sessions * 2 / 5) * :days / (:sessions * 2 / 5.0) + turn * 3 + random())) AS start
          FROM generate_series(1, :sessions * 2 / 5) AS v, generate_series(0, 1 + v % 2) AS turn
         ORDER BY 2) AS visit;
ALTER TABLE sessionize.sessions ENABLE TRIGGER USER;
VACUUM (ANALYZE) sessionize.sessions, sessionize.visitors;
