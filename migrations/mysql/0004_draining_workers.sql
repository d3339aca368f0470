-- Workers that give their tasks away before they leave, and how busy each task of a worker is (JSON).
SET @add_columns = (SELECT IF(COUNT(*) > 0, 'DO 0', 'ALTER TABLE workers
    ADD COLUMN draining BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN busy     LONGTEXT')
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'workers' AND column_name = 'draining');
PREPARE add_columns FROM @add_columns;
EXECUTE add_columns;
DEALLOCATE PREPARE add_columns;
