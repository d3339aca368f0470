-- What is in stock. Each order takes some away.
CREATE DATABASE IF NOT EXISTS warehouse CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS warehouse.stock (
  product_id INT PRIMARY KEY,
  name       VARCHAR(60) NOT NULL,
  qty        INT NOT NULL
);

INSERT IGNORE INTO warehouse.stock VALUES (1, 'pencil', 1000), (2, 'paper', 500), (3, 'ink', 200);
