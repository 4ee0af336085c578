-- Every object that CREATE EXTENSION makes, so that none appears or vanishes unnoticed, and those without a comment.
-- Some versions list the types of rows and arrays, too, which PostgreSQL makes by itself.
\pset format unaligned
\pset tuples_only on
CREATE TEMPORARY VIEW extension_objects AS
SELECT pg_describe_object(classid, objid, 0) COLLATE "C" AS object, obj_description(objid, classid::regclass::name) AS comment
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sessionize')
  AND NOT (classid = 'pg_type'::regclass
           AND EXISTS (SELECT FROM pg_type LEFT JOIN pg_class ON pg_class.oid = typrelid
                        WHERE pg_type.oid = objid AND (typcategory = 'A' OR relkind <> 'c')));
SELECT object FROM extension_objects ORDER BY object;
SELECT 'without a comment: ' || object FROM extension_objects WHERE comment IS NULL ORDER BY object;
-- Functions find names in no schema in which somebody else may create objects.
SELECT DISTINCT setting FROM pg_proc, unnest(proconfig) AS setting
 WHERE pronamespace IN ('sessionize'::regnamespace, (SELECT extnamespace FROM pg_extension WHERE extname = 'pg_sessionize'))
   AND setting LIKE 'search_path=%';
DROP VIEW extension_objects;
