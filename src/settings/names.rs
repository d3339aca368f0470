//! The names of this machine, by which others may address a worker that listens on all interfaces.

use std::collections::BTreeSet;

/// Returns the host name from the kernel; a loopback address if there is none.
pub(super) fn host_name() -> String {
    let name = read("/proc/sys/kernel/hostname");
    let name = name.trim();
    if name.is_empty() {
        "127.0.0.1".to_owned()
    } else {
        name.to_owned()
    }
}

/// Returns the host name, short and in full, and its aliases in the hosts file.
pub fn own_names() -> Vec<String> {
    let domain = read("/proc/sys/kernel/domainname");
    names(
        &host_name(),
        domain.trim(),
        &read("/etc/hosts"),
        &read("/etc/resolv.conf"),
    )
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Splits a line at white space; a comment ends it.
fn words(line: &str) -> Vec<&str> {
    line.split(['#', ';'])
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect()
}

fn names(host: &str, domain: &str, hosts: &str, resolver: &str) -> Vec<String> {
    let short = host.split('.').next().unwrap_or(host);
    let mut names = BTreeSet::from([host.to_owned(), short.to_owned()]);
    for line in hosts.lines().map(words) {
        if let [_, aliases @ ..] = line.as_slice()
            && aliases
                .iter()
                .any(|alias| alias.eq_ignore_ascii_case(host) || alias.eq_ignore_ascii_case(short))
        {
            names.extend(aliases.iter().map(|alias| (*alias).to_owned()));
        }
    }
    let domains = resolver
        .lines()
        .map(words)
        .filter_map(|line| match line.as_slice() {
            ["search" | "domain", domains @ ..] => Some(
                domains
                    .iter()
                    .map(|domain| (*domain).to_owned())
                    .collect::<Vec<_>>(),
            ),
            _ => None,
        });
    let own = Some(domain).filter(|domain| !domain.is_empty() && *domain != "(none)");
    for domain in domains.flatten().chain(own.map(str::to_owned)) {
        let domain = domain.trim_matches('.');
        if !domain.is_empty() {
            names.insert(format!("{short}.{domain}"));
        }
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_machine_has_its_short_name_its_full_one_and_those_of_its_files() {
        let hosts = "127.0.0.1 localhost\n10.0.0.7\tw1.ns.svc.cluster.local w1 # me\n10.0.0.8 w2\n#1 w1 commented\n";
        let found = names(
            "w1",
            "(none)",
            hosts,
            "# c\nsearch example.org lab.\nnameserver 1.1.1.1\noptions w1\n",
        );
        assert_eq!(
            found,
            ["w1", "w1.example.org", "w1.lab", "w1.ns.svc.cluster.local"]
        );
        assert_eq!(
            names("w1.a.test", "b.test", "", "search\n"),
            ["w1", "w1.a.test", "w1.b.test"]
        );
    }
}
