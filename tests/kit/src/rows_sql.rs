//! The table of the volume tests and the bench: eleven columns, about 200 bytes a row, made by the server itself.

/// `CREATE TABLE` with an auto-increment key `id`.
pub fn create(table: &str) -> String {
    format!(
        "CREATE TABLE `{table}` (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, customer INT NOT NULL, name VARCHAR(60) NOT NULL, \
         email VARCHAR(60), amount DECIMAL(12,2) NOT NULL, quantity SMALLINT, rate DOUBLE, active TINYINT(1) NOT NULL, \
         born DATE, created DATETIME(3) NOT NULL, note VARCHAR(200))"
    )
}

/// Fills it with rows `first` to `last`; the same number always gives the same row.
pub fn fill(table: &str, first: u64, last: u64) -> String {
    format!(
        "INSERT INTO `{table}` SELECT seq, seq * 7919 % 100003, CONCAT('Customer ', MD5(seq)), \
         IF(seq % 10 = 0, NULL, CONCAT('user', seq, '@example.com')), seq * 37 % 10000000 / 100, seq % 1000, seq / 7, seq % 2, \
         DATE '1950-01-01' + INTERVAL seq % 20000 DAY, TIMESTAMP '2020-01-01 00:00:00.000' + INTERVAL seq * 1001000 MICROSECOND, \
         IF(seq % 20 = 0, 'zażółć gęślą jaźń 😀', CONCAT('note ', SHA1(seq), ' ', seq)) FROM seq_{first}_to_{last}"
    )
}
