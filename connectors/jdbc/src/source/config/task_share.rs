//! A task's share of the snapshot of a large table.

use std::fmt;

/// The share of a task: the ranges whose number is `n` modulo `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskShare {
    /// Number of the task, from 0.
    pub n: usize,
    pub of: usize,
}

impl TaskShare {
    /// The share of a task that reads everything.
    pub(crate) const WHOLE: Self = Self { n: 0, of: 1 };

    /// Parses the text in a task's config, such as `2/4`: the second of four.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (n, of) = text.split_once('/')?;
        let part = Self {
            n: n.parse::<usize>().ok()?.checked_sub(1)?,
            of: of.parse().ok()?,
        };
        (part.n < part.of).then_some(part)
    }
}

impl fmt::Display for TaskShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.n + 1, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::TaskShare;

    #[test]
    fn parts_are_read_as_they_are_written() {
        assert_eq!(TaskShare::read("2/4"), Some(TaskShare { n: 1, of: 4 }));
        assert_eq!(
            TaskShare::read(&TaskShare::WHOLE.to_string()),
            Some(TaskShare::WHOLE)
        );
        assert!(
            ["0/2", "3/2", "1", "a/b"]
                .iter()
                .all(|text| TaskShare::read(text).is_none())
        );
    }
}
