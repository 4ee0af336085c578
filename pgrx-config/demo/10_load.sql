\qecho
\qecho '== The events'
\qecho

SELECT count(*) AS events, count(DISTINCT visitor) AS visitors,
       min(occurred_at) AS first, max(occurred_at) AS last
FROM events;

SELECT * FROM events ORDER BY occurred_at LIMIT 5;
