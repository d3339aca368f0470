//! Metric families: names, help texts and samples, before they are written as text. Pure.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use super::histogram::Histogram;

/// What kind of value the samples of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows while the process lives. The encoder adds `_total` to its name.
    Counter,
    Gauge,
    Histogram,
}

/// The value of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Fixed(&'static str),
    Shared(Arc<str>),
    Number(u32),
}

impl EncodeLabelValue for Label {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Fixed(text) => text.encode(encoder),
            Self::Shared(text) => (&**text).encode(encoder),
            Self::Number(number) => number.encode(encoder),
        }
    }
}

impl From<&'static str> for Label {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

impl From<&Arc<str>> for Label {
    fn from(text: &Arc<str>) -> Self {
        Self::Shared(Arc::clone(text))
    }
}

impl From<String> for Label {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl From<u32> for Label {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

/// The labels of a sample.
pub(crate) type Labels = Vec<(&'static str, Label)>;

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Count(u64),
    Number(f64),
    Histogram(Box<Histogram>),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&Histogram> for Value {
    fn from(histogram: &Histogram) -> Self {
        Self::Histogram(Box::new(*histogram))
    }
}

/// All samples of one name.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    /// Name without the `_total` of a counter.
    pub name: String,
    pub help: &'static str,
    pub kind: Kind,
    pub samples: Vec<(Labels, Value)>,
}

/// Collects families; each name has one family, whatever adds to it.
#[derive(Debug, Default)]
pub(crate) struct Families {
    list: Vec<Family>,
    places: std::collections::HashMap<String, usize>,
}

impl Families {
    /// Adds a sample to the family of that name, which is created if it is new.
    pub(crate) fn add(
        &mut self,
        (name, kind, help): (&str, Kind, &'static str),
        labels: Labels,
        value: impl Into<Value>,
    ) {
        let sample = (labels, value.into());
        let place = self.places.get(name).copied();
        if let Some(family) = place.and_then(|place| self.list.get_mut(place)) {
            family.samples.push(sample);
            return;
        }
        self.places.insert(name.to_owned(), self.list.len());
        self.list.push(Family {
            name: name.to_owned(),
            help,
            kind,
            samples: vec![sample],
        });
    }

    /// Returns the families in the order in which they were first named.
    pub(crate) fn into_list(self) -> Vec<Family> {
        self.list
    }
}
