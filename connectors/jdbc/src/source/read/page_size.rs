//! Decides how many rows the next page of a table asks for. Pure.

use crate::driver::ResultPage;
use crate::source::plan::query::PAGE_WEIGHT;

/// Rows of a table's first page, when the size of its rows is not known yet.
const FIRST_PAGE: u64 = 500;
/// Maximum rows of a page.
const LARGEST_PAGE: u64 = 10_000;

/// The number of rows that the next page asks for.
#[derive(Debug)]
pub(super) struct PageSize {
    rows: u64,
    /// Current maximum: smaller after connections that broke before a page was complete.
    most: u64,
}

impl Default for PageSize {
    fn default() -> Self {
        Self {
            rows: FIRST_PAGE,
            most: LARGEST_PAGE,
        }
    }
}

impl PageSize {
    /// Returns the number of rows.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Adapts the size to the rows of a page that has been read: as many as weigh half of what a
    /// page may weigh.
    pub(super) fn adapt(&mut self, page: &ResultPage) {
        self.most = self
            .most
            .saturating_add(self.most / 4 + 1)
            .min(LARGEST_PAGE);
        if !page.rows.is_empty() {
            let each = (page.weight / page.rows.len()).max(1);
            let fitting = (PAGE_WEIGHT / each / 2) as u64;
            self.rows = fitting
                .clamp(1, LARGEST_PAGE)
                .min(self.rows.saturating_mul(8));
        }
        self.rows = self.rows.min(self.most);
    }

    /// Halves the size: the page then ends before a row that cannot be read, or is complete before
    /// the connection breaks.
    pub(super) fn halve(&mut self) {
        self.most = (self.rows / 2).max(1);
        self.rows = self.most;
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::{FIRST_PAGE, LARGEST_PAGE, PageSize};
    use crate::driver::ResultPage;
    use crate::source::plan::query::PAGE_WEIGHT;

    fn page(rows: usize, weight: usize) -> ResultPage {
        ResultPage {
            rows: (0..rows).map(|_| [Value::Null].into()).collect(),
            weight,
            ..ResultPage::default()
        }
    }

    #[test]
    fn pages_grow_with_light_rows_and_shrink_with_heavy_ones() {
        let mut size = PageSize::default();
        size.adapt(&page(0, 0));
        assert_eq!(size.rows(), FIRST_PAGE, "an empty page shows nothing");
        size.adapt(&page(500, 500));
        assert_eq!(size.rows(), FIRST_PAGE * 8);
        size.adapt(&page(4000, 4000));
        assert_eq!(size.rows(), LARGEST_PAGE);
        size.adapt(&page(2, PAGE_WEIGHT));
        assert_eq!(size.rows(), 1);
    }

    #[test]
    fn after_a_broken_connection_pages_are_smaller_and_recover_slowly() {
        let mut size = PageSize::default();
        size.halve();
        assert_eq!(size.rows(), FIRST_PAGE / 2);
        size.adapt(&page(250, 250));
        assert_eq!(size.rows(), 250 + 250 / 4 + 1);
        (0..20).for_each(|_| size.halve());
        assert_eq!(size.rows(), 1);
    }
}
