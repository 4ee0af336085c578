-- Every object that CREATE EXTENSION makes, so that none appears or vanishes unnoticed, and those without a comment.
\pset format unaligned
\pset tuples_only on
CREATE TEMPORARY VIEW extension_objects AS
SELECT pg_describe_object(classid, objid, 0) COLLATE "C" AS object, obj_description(objid, classid::regclass::name) AS comment
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sessionize');
SELECT object FROM extension_objects ORDER BY object;
SELECT 'without a comment: ' || object FROM extension_objects WHERE comment IS NULL ORDER BY object;
DROP VIEW extension_objects;
