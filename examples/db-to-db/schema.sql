-- Two tables to copy, and the database the copies go to.
CREATE DATABASE IF NOT EXISTS shop CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS shop_copy CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS shop.customers (
  id      INT AUTO_INCREMENT PRIMARY KEY,
  name    VARCHAR(100) NOT NULL,
  email   VARCHAR(100),
  changed TIMESTAMP(3) NOT NULL DEFAULT NOW(3) ON UPDATE NOW(3)
);

CREATE TABLE IF NOT EXISTS shop.orders (
  id       INT AUTO_INCREMENT PRIMARY KEY,
  customer INT NOT NULL,
  total    DECIMAL(10, 2) NOT NULL,
  paid     BOOLEAN NOT NULL DEFAULT FALSE,
  changed  TIMESTAMP(3) NOT NULL DEFAULT NOW(3) ON UPDATE NOW(3)
);

CREATE TABLE IF NOT EXISTS shop.countries (
  code CHAR(2) PRIMARY KEY,
  name VARCHAR(60) NOT NULL
);

INSERT INTO shop.customers (name, email) VALUES ('Ann', 'ann@example.com'), ('Bob', NULL), ('Zoë', 'zoe@example.com');
INSERT INTO shop.orders (customer, total) VALUES (1, 19.90), (1, 5.00), (3, 120.00);
INSERT IGNORE INTO shop.countries VALUES ('DE', 'Germany'), ('FR', 'France'), ('PT', 'Portugal');
