//! Links of documents lead somewhere, and every page is in the book.

use std::path::{Path, PathBuf};

use super::project_folder;

/// Documents with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![project_folder()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                let is_ours = !["target", "vendor", "node_modules"].contains(&name.as_str());
                if is_ours && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// Targets of the links of a document, without code.
fn links(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        // Every second part is code.
        for part in line.split('`').step_by(2) {
            for link in part.split("](").skip(1) {
                found.extend(link.split(')').next().map(str::to_owned));
            }
        }
    }
    found
}

/// The anchors of a document's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> Vec<String> {
    let heading = |line: &str| {
        let title = line.trim_start_matches('#');
        let kept = title.trim().to_lowercase();
        let kept = kept
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(heading)
        .collect()
}

fn broken(from: &Path, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => from.to_owned(),
        path => from.parent().unwrap().join(path),
    };
    if !target.exists() {
        return Some(format!("{}: {link} leads nowhere", from.display()));
    }
    if anchor.is_empty() || !target.is_file() {
        return None;
    }
    let text = std::fs::read_to_string(&target).unwrap();
    let is_there = anchors(&text).iter().any(|known| known == anchor);
    (!is_there).then(|| format!("{}: {link} names no heading", from.display()))
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in documents() {
        for link in links(&text) {
            seen += 1;
            wrong.extend(broken(&path, &link));
        }
    }
    assert!(seen > 50, "only {seen} links are found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_is_in_the_book() {
    let docs = project_folder().join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed = links(&summary);
    for (path, _) in documents() {
        let Ok(page) = path.strip_prefix(&docs) else {
            continue;
        };
        let page = page.display().to_string();
        assert!(
            page == "SUMMARY.md" || listed.contains(&page),
            "{page} is not in docs/SUMMARY.md"
        );
    }
}

#[test]
fn links_and_headings_are_found() {
    let text =
        "a [b](c.md) `[no](no.md)` [`d`](e.md#f)\n```\n[no](no.md)\n```\n# Some `code`, and More";
    assert_eq!(links(text), ["c.md", "e.md#f"]);
    assert_eq!(anchors(text), ["some-code-and-more"]);
}
