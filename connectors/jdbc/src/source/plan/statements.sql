-- MariaDB/MySQL, bulk
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` ORDER BY `shop`.`orders`.`id` LIMIT ?;

-- MariaDB/MySQL, bulk, next page
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE `shop`.`orders`.`id` > ? ORDER BY `shop`.`orders`.`id` LIMIT ?;

-- MariaDB/MySQL, incrementing
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE `shop`.`orders`.`id` > ? ORDER BY `shop`.`orders`.`id` ASC LIMIT ?;

-- MariaDB/MySQL, incrementing, up to an id
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE `shop`.`orders`.`id` > ? AND `shop`.`orders`.`id` <= ? ORDER BY `shop`.`orders`.`id` ASC LIMIT ?;

-- MariaDB/MySQL, timestamp
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE `shop`.`orders`.`created` > ? AND `shop`.`orders`.`created` < ? ORDER BY `shop`.`orders`.`created`,`shop`.`orders`.`id` ASC LIMIT ?;

-- MariaDB/MySQL, timestamp, in the middle of equal timestamps
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE `shop`.`orders`.`created` < ? AND ((`shop`.`orders`.`created` = ? AND `shop`.`orders`.`id` > ?) OR `shop`.`orders`.`created` > ?) ORDER BY `shop`.`orders`.`created`,`shop`.`orders`.`id` ASC LIMIT ?;

-- MariaDB/MySQL, timestamp, several columns
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE COALESCE(`shop`.`orders`.`changed`,`shop`.`orders`.`created`) > ? AND COALESCE(`shop`.`orders`.`changed`,`shop`.`orders`.`created`) < ? ORDER BY COALESCE(`shop`.`orders`.`changed`,`shop`.`orders`.`created`),`shop`.`orders`.`id` ASC LIMIT ?;

-- MariaDB/MySQL, timestamp+incrementing
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE COALESCE(`shop`.`orders`.`changed`,`shop`.`orders`.`created`) < ? AND ((COALESCE(`shop`.`orders`.`changed`,`shop`.`orders`.`created`) = ? AND `shop`.`orders`.`id` > ?) OR COALESCE(`shop`.`orders`.`changed`,`shop`.`orders`.`created`) > ?) ORDER BY COALESCE(`shop`.`orders`.`changed`,`shop`.`orders`.`created`),`shop`.`orders`.`id` ASC LIMIT ?;

-- MariaDB/MySQL, bulk with a suffix
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` /* SUFFIX */;

-- MariaDB/MySQL, timestamp+incrementing with a suffix
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE COALESCE(`shop`.`orders`.`changed`,`shop`.`orders`.`created`) < ? AND ((COALESCE(`shop`.`orders`.`changed`,`shop`.`orders`.`created`) = ? AND `shop`.`orders`.`id` > ?) OR COALESCE(`shop`.`orders`.`changed`,`shop`.`orders`.`created`) > ?) ORDER BY COALESCE(`shop`.`orders`.`changed`,`shop`.`orders`.`created`),`shop`.`orders`.`id` ASC /* SUFFIX */;

-- MariaDB/MySQL, incrementing, names without quotes
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE `shop`.`orders`.`id` > ? ORDER BY `shop`.`orders`.`id` ASC LIMIT ?;

-- MariaDB/MySQL, query, bulk
SELECT * FROM orders WHERE part = 1;

-- MariaDB/MySQL, query, incrementing
SELECT `id`,`part`,`created`,`changed`,`price` FROM (SELECT * FROM orders WHERE part = 1
) AS q WHERE `id` > ? ORDER BY `id` ASC;

-- MariaDB/MySQL, query, timestamp
SELECT `id`,`part`,`created`,`changed`,`price` FROM (SELECT * FROM orders WHERE part = 1
) AS q WHERE `created` > ? AND `created` < ? ORDER BY `created` ASC;

-- MariaDB/MySQL, query, timestamp+incrementing with a suffix
SELECT `id`,`part`,`created`,`changed`,`price` FROM (SELECT * FROM orders WHERE part = 1
) AS q WHERE COALESCE(`changed`,`created`) < ? AND ((COALESCE(`changed`,`created`) = ? AND `id` > ?) OR COALESCE(`changed`,`created`) > ?) ORDER BY COALESCE(`changed`,`created`),`id` ASC LIMIT 10;

-- MariaDB/MySQL, keys, a page
SELECT `id` FROM `shop`.`orders` WHERE `shop`.`orders`.`id` > ? AND `shop`.`orders`.`id` <= ? ORDER BY `shop`.`orders`.`id` LIMIT ?;

-- MariaDB/MySQL, keys, those that were not found
SELECT `id` FROM `shop`.`orders` WHERE `shop`.`orders`.`id` BETWEEN ? AND ? OR `shop`.`orders`.`id` BETWEEN ? AND ? OR `shop`.`orders`.`id` BETWEEN ? AND ? OR `shop`.`orders`.`id` BETWEEN ? AND ?;

-- MariaDB/MySQL, bulk, key of two columns, next page
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE (`shop`.`orders`.`id` >= ? AND (`shop`.`orders`.`id` > ? OR (`shop`.`orders`.`id` = ? AND `shop`.`orders`.`part` > ?))) ORDER BY `shop`.`orders`.`id`,`shop`.`orders`.`part` LIMIT ?;

-- MariaDB/MySQL, bulk, key of two columns, a range from its beginning
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE (`shop`.`orders`.`id` >= ? AND (`shop`.`orders`.`id` > ? OR (`shop`.`orders`.`id` = ? AND `shop`.`orders`.`part` >= ?))) AND `shop`.`orders`.`id` <= ? ORDER BY `shop`.`orders`.`id`,`shop`.`orders`.`part` LIMIT ?;

-- MariaDB/MySQL, bulk, key of two columns, a range, next page
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE (`shop`.`orders`.`id` >= ? AND (`shop`.`orders`.`id` > ? OR (`shop`.`orders`.`id` = ? AND `shop`.`orders`.`part` > ?))) AND (`shop`.`orders`.`id` <= ? AND (`shop`.`orders`.`id` < ? OR (`shop`.`orders`.`id` = ? AND `shop`.`orders`.`part` <= ?))) ORDER BY `shop`.`orders`.`id`,`shop`.`orders`.`part` LIMIT ?;

-- MariaDB/MySQL, bulk, key of two columns, up to a key
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE (`shop`.`orders`.`id` <= ? AND (`shop`.`orders`.`id` < ? OR (`shop`.`orders`.`id` = ? AND `shop`.`orders`.`part` <= ?))) ORDER BY `shop`.`orders`.`id`,`shop`.`orders`.`part` LIMIT ?;

-- MariaDB/MySQL, keys of two columns, a page
SELECT `id`,`part` FROM `shop`.`orders` WHERE (`shop`.`orders`.`id` >= ? AND (`shop`.`orders`.`id` > ? OR (`shop`.`orders`.`id` = ? AND `shop`.`orders`.`part` > ?))) AND (`shop`.`orders`.`id` <= ? AND (`shop`.`orders`.`id` < ? OR (`shop`.`orders`.`id` = ? AND `shop`.`orders`.`part` <= ?))) ORDER BY `shop`.`orders`.`id`,`shop`.`orders`.`part` LIMIT ?;

-- MariaDB/MySQL, keys of two columns, those that were not found
SELECT `id`,`part` FROM `shop`.`orders` WHERE (`shop`.`orders`.`id` = ? AND `shop`.`orders`.`part` = ?) OR (`shop`.`orders`.`id` = ? AND `shop`.`orders`.`part` = ?);

-- MariaDB/MySQL, bulk, no key
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders`;

-- MariaDB/MySQL, incrementing, no key: one statement
SELECT `id`,`part`,`created`,`changed`,`price` FROM `shop`.`orders` WHERE `shop`.`orders`.`id` > ? ORDER BY `shop`.`orders`.`id` ASC;

-- PostgreSQL, bulk
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" ORDER BY "public"."orders"."id" LIMIT $1;

-- PostgreSQL, bulk, next page
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE "public"."orders"."id" > $1 ORDER BY "public"."orders"."id" LIMIT $2;

-- PostgreSQL, incrementing
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE "public"."orders"."id" > $1 ORDER BY "public"."orders"."id" ASC LIMIT $2;

-- PostgreSQL, incrementing, up to an id
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE "public"."orders"."id" > $1 AND "public"."orders"."id" <= $2 ORDER BY "public"."orders"."id" ASC LIMIT $3;

-- PostgreSQL, timestamp
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE "public"."orders"."created" > CAST($1 AS pg_catalog.timestamp) AND "public"."orders"."created" < CAST($2 AS pg_catalog.timestamp) ORDER BY "public"."orders"."created","public"."orders"."id" ASC LIMIT $3;

-- PostgreSQL, timestamp, in the middle of equal timestamps
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE "public"."orders"."created" < CAST($1 AS pg_catalog.timestamp) AND (("public"."orders"."created" = CAST($2 AS pg_catalog.timestamp) AND "public"."orders"."id" > $3) OR "public"."orders"."created" > CAST($4 AS pg_catalog.timestamp)) ORDER BY "public"."orders"."created","public"."orders"."id" ASC LIMIT $5;

-- PostgreSQL, timestamp, several columns
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE COALESCE("public"."orders"."changed","public"."orders"."created") > CAST($1 AS pg_catalog.timestamp) AND COALESCE("public"."orders"."changed","public"."orders"."created") < CAST($2 AS pg_catalog.timestamp) ORDER BY COALESCE("public"."orders"."changed","public"."orders"."created"),"public"."orders"."id" ASC LIMIT $3;

-- PostgreSQL, timestamp+incrementing
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE COALESCE("public"."orders"."changed","public"."orders"."created") < CAST($1 AS pg_catalog.timestamp) AND ((COALESCE("public"."orders"."changed","public"."orders"."created") = CAST($2 AS pg_catalog.timestamp) AND "public"."orders"."id" > $3) OR COALESCE("public"."orders"."changed","public"."orders"."created") > CAST($4 AS pg_catalog.timestamp)) ORDER BY COALESCE("public"."orders"."changed","public"."orders"."created"),"public"."orders"."id" ASC LIMIT $5;

-- PostgreSQL, bulk with a suffix
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" /* SUFFIX */;

-- PostgreSQL, timestamp+incrementing with a suffix
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE COALESCE("public"."orders"."changed","public"."orders"."created") < CAST($1 AS pg_catalog.timestamp) AND ((COALESCE("public"."orders"."changed","public"."orders"."created") = CAST($2 AS pg_catalog.timestamp) AND "public"."orders"."id" > $3) OR COALESCE("public"."orders"."changed","public"."orders"."created") > CAST($4 AS pg_catalog.timestamp)) ORDER BY COALESCE("public"."orders"."changed","public"."orders"."created"),"public"."orders"."id" ASC /* SUFFIX */;

-- PostgreSQL, incrementing, names without quotes
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE "public"."orders"."id" > $1 ORDER BY "public"."orders"."id" ASC LIMIT $2;

-- PostgreSQL, query, bulk
SELECT "id","part","created","changed","price"::pg_catalog.text FROM (SELECT * FROM orders WHERE part = 1
) AS q;

-- PostgreSQL, query, incrementing
SELECT "id","part","created","changed","price"::pg_catalog.text FROM (SELECT * FROM orders WHERE part = 1
) AS q WHERE "id" > $1 ORDER BY "id" ASC;

-- PostgreSQL, query, timestamp
SELECT "id","part","created","changed","price"::pg_catalog.text FROM (SELECT * FROM orders WHERE part = 1
) AS q WHERE "created" > CAST($1 AS pg_catalog.timestamp) AND "created" < CAST($2 AS pg_catalog.timestamp) ORDER BY "created" ASC;

-- PostgreSQL, query, timestamp+incrementing with a suffix
SELECT "id","part","created","changed","price"::pg_catalog.text FROM (SELECT * FROM orders WHERE part = 1
) AS q WHERE COALESCE("changed","created") < CAST($1 AS pg_catalog.timestamp) AND ((COALESCE("changed","created") = CAST($2 AS pg_catalog.timestamp) AND "id" > $3) OR COALESCE("changed","created") > CAST($4 AS pg_catalog.timestamp)) ORDER BY COALESCE("changed","created"),"id" ASC LIMIT 10;

-- PostgreSQL, keys, a page
SELECT "id" FROM "public"."orders" WHERE "public"."orders"."id" > $1 AND "public"."orders"."id" <= $2 ORDER BY "public"."orders"."id" LIMIT $3;

-- PostgreSQL, keys, those that were not found
SELECT "id" FROM "public"."orders" WHERE "public"."orders"."id" BETWEEN $1 AND $2 OR "public"."orders"."id" BETWEEN $3 AND $4 OR "public"."orders"."id" BETWEEN $5 AND $6 OR "public"."orders"."id" BETWEEN $7 AND $8;

-- PostgreSQL, bulk, key of two columns, next page
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE ("public"."orders"."id" >= $1 AND ("public"."orders"."id" > $2 OR ("public"."orders"."id" = $3 AND "public"."orders"."part" > $4))) ORDER BY "public"."orders"."id","public"."orders"."part" LIMIT $5;

-- PostgreSQL, bulk, key of two columns, a range from its beginning
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE ("public"."orders"."id" >= $1 AND ("public"."orders"."id" > $2 OR ("public"."orders"."id" = $3 AND "public"."orders"."part" >= $4))) AND "public"."orders"."id" <= $5 ORDER BY "public"."orders"."id","public"."orders"."part" LIMIT $6;

-- PostgreSQL, bulk, key of two columns, a range, next page
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE ("public"."orders"."id" >= $1 AND ("public"."orders"."id" > $2 OR ("public"."orders"."id" = $3 AND "public"."orders"."part" > $4))) AND ("public"."orders"."id" <= $5 AND ("public"."orders"."id" < $6 OR ("public"."orders"."id" = $7 AND "public"."orders"."part" <= $8))) ORDER BY "public"."orders"."id","public"."orders"."part" LIMIT $9;

-- PostgreSQL, bulk, key of two columns, up to a key
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE ("public"."orders"."id" <= $1 AND ("public"."orders"."id" < $2 OR ("public"."orders"."id" = $3 AND "public"."orders"."part" <= $4))) ORDER BY "public"."orders"."id","public"."orders"."part" LIMIT $5;

-- PostgreSQL, keys of two columns, a page
SELECT "id","part" FROM "public"."orders" WHERE ("public"."orders"."id" >= $1 AND ("public"."orders"."id" > $2 OR ("public"."orders"."id" = $3 AND "public"."orders"."part" > $4))) AND ("public"."orders"."id" <= $5 AND ("public"."orders"."id" < $6 OR ("public"."orders"."id" = $7 AND "public"."orders"."part" <= $8))) ORDER BY "public"."orders"."id","public"."orders"."part" LIMIT $9;

-- PostgreSQL, keys of two columns, those that were not found
SELECT "id","part" FROM "public"."orders" WHERE ("public"."orders"."id" = $1 AND "public"."orders"."part" = $2) OR ("public"."orders"."id" = $3 AND "public"."orders"."part" = $4);

-- PostgreSQL, bulk, no key
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders";

-- PostgreSQL, incrementing, no key: one statement
SELECT "id","part","created","changed","price"::pg_catalog.text FROM "public"."orders" WHERE "public"."orders"."id" > $1 ORDER BY "public"."orders"."id" ASC;

-- SQLite, the timestamp of a column c
CASE typeof(c) WHEN 'text' THEN CASE WHEN substr(c, 11) GLOB '*[-+]*' THEN strftime('%Y-%m-%d %H:%M:%f', c) || '000' ELSE substr(replace(rtrim(c, 'Zz '), 'T', ' ') || substr('0000-00-00 00:00:00.000000', length(rtrim(c, 'Zz ')) + 1), 1, 26) END WHEN 'integer' THEN strftime('%Y-%m-%d %H:%M:%f', c / 1000.0, 'unixepoch') || '000' WHEN 'real' THEN strftime('%Y-%m-%d %H:%M:%f', c) || '000' END;

-- SQLite, bulk
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` ORDER BY `orders`.`id` LIMIT ?;

-- SQLite, bulk, next page
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE `orders`.`id` > ? ORDER BY `orders`.`id` LIMIT ?;

-- SQLite, incrementing
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE `orders`.`id` > ? ORDER BY `orders`.`id` ASC LIMIT ?;

-- SQLite, incrementing, up to an id
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE `orders`.`id` > ? AND `orders`.`id` <= ? ORDER BY `orders`.`id` ASC LIMIT ?;

-- SQLite, timestamp
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE stamp(`orders`.`created`) > ? AND stamp(`orders`.`created`) < ? ORDER BY stamp(`orders`.`created`),`orders`.`id` ASC LIMIT ?;

-- SQLite, timestamp, in the middle of equal timestamps
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE stamp(`orders`.`created`) < ? AND ((stamp(`orders`.`created`) = ? AND `orders`.`id` > ?) OR stamp(`orders`.`created`) > ?) ORDER BY stamp(`orders`.`created`),`orders`.`id` ASC LIMIT ?;

-- SQLite, timestamp, several columns
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE COALESCE(stamp(`orders`.`changed`),stamp(`orders`.`created`)) > ? AND COALESCE(stamp(`orders`.`changed`),stamp(`orders`.`created`)) < ? ORDER BY COALESCE(stamp(`orders`.`changed`),stamp(`orders`.`created`)),`orders`.`id` ASC LIMIT ?;

-- SQLite, timestamp+incrementing
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE COALESCE(stamp(`orders`.`changed`),stamp(`orders`.`created`)) < ? AND ((COALESCE(stamp(`orders`.`changed`),stamp(`orders`.`created`)) = ? AND `orders`.`id` > ?) OR COALESCE(stamp(`orders`.`changed`),stamp(`orders`.`created`)) > ?) ORDER BY COALESCE(stamp(`orders`.`changed`),stamp(`orders`.`created`)),`orders`.`id` ASC LIMIT ?;

-- SQLite, bulk with a suffix
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` /* SUFFIX */;

-- SQLite, timestamp+incrementing with a suffix
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE COALESCE(stamp(`orders`.`changed`),stamp(`orders`.`created`)) < ? AND ((COALESCE(stamp(`orders`.`changed`),stamp(`orders`.`created`)) = ? AND `orders`.`id` > ?) OR COALESCE(stamp(`orders`.`changed`),stamp(`orders`.`created`)) > ?) ORDER BY COALESCE(stamp(`orders`.`changed`),stamp(`orders`.`created`)),`orders`.`id` ASC /* SUFFIX */;

-- SQLite, incrementing, names without quotes
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE `orders`.`id` > ? ORDER BY `orders`.`id` ASC LIMIT ?;

-- SQLite, query, bulk
SELECT * FROM orders WHERE part = 1;

-- SQLite, query, incrementing
SELECT `id`,`part`,`created`,`changed`,`price` FROM (SELECT * FROM orders WHERE part = 1
) AS q WHERE `id` > ? ORDER BY `id` ASC;

-- SQLite, query, timestamp
SELECT `id`,`part`,`created`,`changed`,`price` FROM (SELECT * FROM orders WHERE part = 1
) AS q WHERE stamp(`created`) > ? AND stamp(`created`) < ? ORDER BY stamp(`created`) ASC;

-- SQLite, query, timestamp+incrementing with a suffix
SELECT `id`,`part`,`created`,`changed`,`price` FROM (SELECT * FROM orders WHERE part = 1
) AS q WHERE COALESCE(stamp(`changed`),stamp(`created`)) < ? AND ((COALESCE(stamp(`changed`),stamp(`created`)) = ? AND `id` > ?) OR COALESCE(stamp(`changed`),stamp(`created`)) > ?) ORDER BY COALESCE(stamp(`changed`),stamp(`created`)),`id` ASC LIMIT 10;

-- SQLite, keys, a page
SELECT `id` FROM `orders` WHERE `orders`.`id` > ? AND `orders`.`id` <= ? ORDER BY `orders`.`id` LIMIT ?;

-- SQLite, keys, those that were not found
SELECT `id` FROM `orders` WHERE `orders`.`id` BETWEEN ? AND ? OR `orders`.`id` BETWEEN ? AND ? OR `orders`.`id` BETWEEN ? AND ? OR `orders`.`id` BETWEEN ? AND ?;

-- SQLite, bulk, key of two columns, next page
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE (`orders`.`id` >= ? AND (`orders`.`id` > ? OR (`orders`.`id` = ? AND `orders`.`part` > ?))) ORDER BY `orders`.`id`,`orders`.`part` LIMIT ?;

-- SQLite, bulk, key of two columns, a range from its beginning
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE (`orders`.`id` >= ? AND (`orders`.`id` > ? OR (`orders`.`id` = ? AND `orders`.`part` >= ?))) AND `orders`.`id` <= ? ORDER BY `orders`.`id`,`orders`.`part` LIMIT ?;

-- SQLite, bulk, key of two columns, a range, next page
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE (`orders`.`id` >= ? AND (`orders`.`id` > ? OR (`orders`.`id` = ? AND `orders`.`part` > ?))) AND (`orders`.`id` <= ? AND (`orders`.`id` < ? OR (`orders`.`id` = ? AND `orders`.`part` <= ?))) ORDER BY `orders`.`id`,`orders`.`part` LIMIT ?;

-- SQLite, bulk, key of two columns, up to a key
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE (`orders`.`id` <= ? AND (`orders`.`id` < ? OR (`orders`.`id` = ? AND `orders`.`part` <= ?))) ORDER BY `orders`.`id`,`orders`.`part` LIMIT ?;

-- SQLite, keys of two columns, a page
SELECT `id`,`part` FROM `orders` WHERE (`orders`.`id` >= ? AND (`orders`.`id` > ? OR (`orders`.`id` = ? AND `orders`.`part` > ?))) AND (`orders`.`id` <= ? AND (`orders`.`id` < ? OR (`orders`.`id` = ? AND `orders`.`part` <= ?))) ORDER BY `orders`.`id`,`orders`.`part` LIMIT ?;

-- SQLite, keys of two columns, those that were not found
SELECT `id`,`part` FROM `orders` WHERE (`orders`.`id` = ? AND `orders`.`part` = ?) OR (`orders`.`id` = ? AND `orders`.`part` = ?);

-- SQLite, bulk, no key
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders`;

-- SQLite, incrementing, no key: one statement
SELECT `id`,`part`,`created`,`changed`,`price` FROM `orders` WHERE `orders`.`id` > ? ORDER BY `orders`.`id` ASC;

