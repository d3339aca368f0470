-- Four tables that belong to members, each by a column that is not its primary key.
CREATE DATABASE IF NOT EXISTS club CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS club.cards      (id INT AUTO_INCREMENT PRIMARY KEY, member_id INT NOT NULL, number VARCHAR(20) NOT NULL, KEY (member_id));
CREATE TABLE IF NOT EXISTS club.likes      (id INT AUTO_INCREMENT PRIMARY KEY, member_id INT NOT NULL, post INT NOT NULL, KEY (member_id));
CREATE TABLE IF NOT EXISTS club.chat_rooms (id INT AUTO_INCREMENT PRIMARY KEY, member_id INT NOT NULL, title VARCHAR(60) NOT NULL, KEY (member_id));
CREATE TABLE IF NOT EXISTS club.reviews    (id INT AUTO_INCREMENT PRIMARY KEY, member_id INT NOT NULL, stars INT NOT NULL, KEY (member_id));

INSERT INTO club.cards (member_id, number) VALUES (7, 'A-1'), (7, 'A-2'), (8, 'B-1');
INSERT INTO club.likes (member_id, post) VALUES (7, 100), (7, 101), (8, 100);
INSERT INTO club.chat_rooms (member_id, title) VALUES (7, 'Chess'), (8, 'Chess');
INSERT INTO club.reviews (member_id, stars) VALUES (7, 5), (8, 3), (8, 4);
