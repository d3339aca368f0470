//! The form that validation fills in: declared keys, their values, and errors. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "the position was found in the same list"
)]

use std::collections::{BTreeMap, HashMap, HashSet};

use connector_api::config::{ConfigType, DefaultValue, Importance, ParsedValue, Width};
use connector_api::shown::without_passwords;
use connector_api::{Config, ConfigKey, ConfigReport};

use crate::model::{ConfigInfo, ConfigInfos, ConfigKeyInfo, ConfigValueInfo, ConfigWarning};
use crate::secrets::{HIDDEN, Redactor, SecretKeys, SecretWords};
use crate::settings::ResolvedConfig;

/// Upper bound of the errors that the check of a single key adds.
const OWN_ERRORS: usize = 8;

/// The values as given; `None` is a JSON null.
pub(super) type GivenValues = BTreeMap<String, Option<String>>;

/// How the keys of a table are named in the form and in texts.
#[derive(Clone, Copy)]
pub(super) struct KeyNaming<'a> {
    /// Prefix of the names in the form.
    pub(super) prefix: &'a str,
    /// Prefix of the names in texts.
    pub(super) text_prefix: &'a str,
    /// Group of the keys that declare none; `None` leaves them without a group.
    pub(super) group: Option<&'a str>,
}

impl KeyNaming<'_> {
    /// Names as declared.
    pub(super) const PLAIN: KeyNaming<'static> = KeyNaming {
        prefix: "",
        text_prefix: "",
        group: Some(""),
    };

    /// Returns how a connector's own keys are shown. Keys without a group stay without one if the
    /// connector declares no group at all (Kafka's file connectors); beside grouped keys they are
    /// in the group `""` (the JDBC sink).
    pub(super) fn of_a_connector(keys: &[ConfigKey]) -> Self {
        let has_groups = keys.iter().any(|key| !key.group.is_empty());
        Self {
            group: has_groups.then_some(""),
            ..Self::PLAIN
        }
    }
}

#[derive(Default)]
pub(super) struct ConfigForm {
    groups: Vec<String>,
    fields: Vec<ConfigInfo>,
    warnings: Vec<ConfigWarning>,
    /// Index of the first field of each name.
    places: HashMap<String, usize>,
    /// Errors added so far: field and text.
    said: HashSet<(usize, String)>,
    /// Warnings added so far: key and text.
    warned: HashSet<(String, String)>,
}

impl ConfigForm {
    /// Adds the keys of a table with the values given for them.
    pub(super) fn add(
        &mut self,
        table: &'static [ConfigKey],
        given: &GivenValues,
        naming: KeyNaming<'_>,
    ) {
        for (key, definition) in declared(table, naming) {
            if let Some(group) = &definition.group
                && !self.groups.contains(group)
            {
                self.groups.push(group.clone());
            }
            self.push(ConfigInfo {
                definition: Some(definition),
                value: field_value(key, given, naming),
            });
        }
    }

    fn push(&mut self, field: ConfigInfo) {
        self.places
            .entry(field.value.name.clone())
            .or_insert(self.fields.len());
        self.fields.push(field);
    }

    /// Adds a key that no plug-in declares, unless the form has it already.
    pub(super) fn add_undeclared(
        &mut self,
        name: &str,
        value: Option<&str>,
    ) -> &mut ConfigValueInfo {
        if self.position(name).is_none() {
            let value = ConfigValueInfo {
                name: name.to_owned(),
                value: value.map(str::to_owned),
                visible: true,
                ..ConfigValueInfo::default()
            };
            self.push(ConfigInfo {
                definition: None,
                value,
            });
        }
        let at = self.position(name).unwrap_or_default();
        &mut self.fields[at].value
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Returns the value of a key for modification.
    pub(super) fn value_mut(&mut self, name: &str) -> Option<&mut ConfigValueInfo> {
        self.position(name).map(|at| &mut self.fields[at].value)
    }

    /// Replaces the default shown for a declared key.
    pub(super) fn set_default(&mut self, name: &str, default: Option<&str>) {
        let definition = self
            .position(name)
            .and_then(|at| self.fields[at].definition.as_mut());
        if let Some(definition) = definition {
            definition.default_value = default.map(str::to_owned);
        }
    }

    /// Adds an error to a key, declared or not; a repeated text is added only once.
    pub(super) fn error(&mut self, name: &str, text: impl Into<String>) {
        let text = text.into();
        self.add_undeclared(name, None);
        let at = self.position(name).unwrap_or_default();
        let errors = &mut self.fields[at].value.errors;
        // Errors of the key's own check are not in `said`, so look for them at the start of the
        // list.
        if self.said.insert((at, text.clone()))
            && !errors.iter().take(OWN_ERRORS).any(|own| *own == text)
        {
            errors.push(text);
        }
    }

    /// Adds the results of a plug-in's own checks.
    pub(super) fn merge(&mut self, report: ConfigReport, prefix: &str) {
        for problem in report.errors {
            self.error(&format!("{prefix}{}", problem.key), problem.message);
        }
        for warning in report.warnings {
            let warning = ConfigWarning {
                key: format!("{prefix}{}", warning.key),
                message: warning.message,
            };
            if self
                .warned
                .insert((warning.key.clone(), warning.message.clone()))
            {
                self.warnings.push(warning);
            }
        }
        for (key, values) in report.recommended {
            if let Some(value) = self.value_mut(&format!("{prefix}{key}")) {
                value.recommended_values = values;
            }
        }
        for key in report.hidden {
            if let Some(value) = self.value_mut(&format!("{prefix}{key}")) {
                value.visible = false;
            }
        }
    }

    /// Replaces resolved values by the references they came from, hides the values of secret keys
    /// that no plug-in declares, and removes secrets from all texts.
    pub(super) fn hide(
        &mut self,
        written: &Config,
        resolved: &ResolvedConfig,
        secrets: &SecretKeys,
        redactor: &Redactor,
    ) {
        let mut given_out = SecretWords::default();
        resolved
            .given_out()
            .for_each(|(reference, value)| given_out.add(value, reference));
        let given_out = Redactor::new(given_out);
        for field in &mut self.fields {
            let (name, value) = (field.value.name.as_str(), &mut field.value.value);
            match written.get(name) {
                Some(reference) if resolved.config.get(name) != Some(reference) => {
                    if value.as_deref().is_some_and(|shown| shown != HIDDEN) {
                        *value = Some(reference.to_owned());
                    }
                }
                _ if field.definition.is_none() && value.is_some() && secrets.is_secret(name) => {
                    *value = Some(HIDDEN.to_owned());
                }
                _ => {
                    let shown =
                        |text: String| without_passwords(&given_out.hide(&text)).into_owned();
                    *value = value.take().map(shown);
                }
            }
            field
                .value
                .errors
                .iter_mut()
                .for_each(|text| *text = redactor.hide(text).into_owned());
        }
        for warning in &mut self.warnings {
            warning.message = redactor.hide(&warning.message).into_owned();
        }
        if resolved.given_out().next().is_some() {
            self.hide_names(&given_out);
        }
    }

    /// Hides resolved references in names: aliases of transforms, which keys and groups are named
    /// after, may come from a reference too.
    fn hide_names(&mut self, given_out: &Redactor) {
        let hide = |text: &mut String| *text = given_out.hide(text).into_owned();
        self.groups.iter_mut().for_each(hide);
        self.warnings
            .iter_mut()
            .for_each(|warning| hide(&mut warning.key));
        for field in &mut self.fields {
            hide(&mut field.value.name);
            field.value.recommended_values.iter_mut().for_each(hide);
            let Some(definition) = &mut field.definition else {
                continue;
            };
            let names = [&mut definition.name, &mut definition.display_name];
            let further = definition
                .group
                .iter_mut()
                .chain(&mut definition.dependents);
            names.into_iter().chain(further).for_each(hide);
        }
    }

    pub(super) fn finish(self, name: &str) -> ConfigInfos {
        let error_count = self
            .fields
            .iter()
            .map(|field| field.value.errors.len())
            .sum();
        ConfigInfos {
            name: name.to_owned(),
            error_count,
            groups: self.groups,
            configs: self.fields,
            warnings: self.warnings,
        }
    }
}

fn field_value(key: &ConfigKey, given: &GivenValues, naming: KeyNaming<'_>) -> ConfigValueInfo {
    let spellings = std::iter::once(&key.name).chain(key.aliases);
    let found = spellings
        .map(|name| format!("{}{name}", naming.prefix))
        .find_map(|name| given.get(&name));
    let (value, errors) = match found {
        Some(None) => (None, key.refuse_null().into_iter().collect()),
        _ => {
            let raw = found.and_then(Option::as_deref);
            let (parsed, errors) =
                key.evaluate_as(&format!("{}{}", naming.text_prefix, key.name), raw);
            (shown(key, parsed), errors)
        }
    };
    ConfigValueInfo {
        name: format!("{}{}", naming.prefix, key.name),
        value,
        recommended_values: key
            .recommended
            .iter()
            .map(|value| (*value).to_owned())
            .collect(),
        errors,
        visible: true,
    }
}

fn shown(key: &ConfigKey, parsed: ParsedValue) -> Option<String> {
    match parsed {
        ParsedValue::Null => None,
        _ if key.ty == ConfigType::Password => Some(HIDDEN.to_owned()),
        ParsedValue::Bool(value) => Some(value.to_string()),
        ParsedValue::Int(value) => Some(value.to_string()),
        ParsedValue::Double(value) => Some(value.to_string()),
        ParsedValue::Text(text) => Some(text),
        ParsedValue::List(items) => Some(items.join(",")),
    }
}

/// Returns the keys of a table with their REST definitions, without the keys that a connector sets
/// for itself. Within each group, keys that only Rowferry has come last.
fn declared(
    table: &'static [ConfigKey],
    naming: KeyNaming<'_>,
) -> Vec<(&'static ConfigKey, ConfigKeyInfo)> {
    let shown = || table.iter().filter(|key| !key.internal);
    let mut in_group: BTreeMap<&str, i32> = BTreeMap::new();
    let mut own_in_group: BTreeMap<&str, i32> = BTreeMap::new();
    for key in shown().filter(|key| !key.own) {
        *own_in_group.entry(key.group).or_default() += 1;
    }
    shown()
        .map(|key| {
            let places = if key.own {
                &mut own_in_group
            } else {
                &mut in_group
            };
            let place = places.entry(key.group).or_default();
            *place += 1;
            let order = key
                .order
                .unwrap_or(if key.group.is_empty() { -1 } else { *place });
            (key, definition(key, naming, order))
        })
        .collect()
}

/// Returns the definitions without values.
pub(super) fn definitions(
    table: &'static [ConfigKey],
    naming: KeyNaming<'_>,
) -> Vec<ConfigKeyInfo> {
    declared(table, naming)
        .into_iter()
        .map(|(_, definition)| definition)
        .collect()
}

fn definition(key: &ConfigKey, naming: KeyNaming<'_>, order: i32) -> ConfigKeyInfo {
    let default_value = match key.default {
        DefaultValue::Text(_) if key.ty == ConfigType::Password => Some("[hidden]".to_owned()),
        DefaultValue::Text(text) => Some(text.to_owned()),
        DefaultValue::Null | DefaultValue::Required => None,
    };
    let importance = match key.importance {
        Importance::High => "HIGH",
        Importance::Medium => "MEDIUM",
        Importance::Low => "LOW",
    };
    let width = match key.width {
        Width::None => "NONE",
        Width::Short => "SHORT",
        Width::Medium => "MEDIUM",
        Width::Long => "LONG",
    };
    ConfigKeyInfo {
        name: format!("{}{}", naming.prefix, key.name),
        ty: key.ty.name().to_owned(),
        required: key.default == DefaultValue::Required,
        default_value,
        importance: importance.to_owned(),
        documentation: key.documentation().into_owned(),
        group: if key.group.is_empty() {
            naming.group
        } else {
            Some(key.group)
        }
        .map(str::to_owned),
        width: width.to_owned(),
        display_name: key.label.to_owned(),
        dependents: key
            .dependents
            .iter()
            .map(|name| format!("{}{name}", naming.prefix))
            .collect(),
        order,
    }
}
