//! The file connectors as the runtime drives them.

#![allow(clippy::indexing_slicing, reason = "a test that cannot go on panics")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod sink;
mod source;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use connector_api::files::AllowedFiles;
use connector_api::{Config, ConfigReport, Error, SinkConnector, SourceConnector};
use connector_file::{FileStreamSink, FileStreamSource, SETTING};

use source::Stored;

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "rowferry-file-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn allowed(&self) -> AllowedFiles {
        AllowedFiles::new(SETTING, vec![self.0.clone()], Vec::new())
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn append(&self, name: &str, bytes: &[u8]) {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.0.join(name));
        file.unwrap().write_all(bytes).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[tokio::test]
async fn a_file_outside_of_the_allowed_folders_is_neither_read_nor_made() {
    let (folder, outside) = (Folder::new(), Folder::new());
    outside.append("there", b"secret\n");
    std::os::unix::fs::symlink(outside.path("there"), folder.path("link")).unwrap();
    for file in [
        outside.path("there"),
        outside.path("new"),
        folder.path("link"),
        folder.path("../new"),
    ] {
        let config = Config::from([("file", &*file), ("topic", "t")]);
        let (source, sink) = (
            FileStreamSource::new(folder.allowed()),
            FileStreamSink::new(folder.allowed()),
        );
        let mut report = ConfigReport::default();
        source.probe(&config, &mut report).await;
        SinkConnector::probe(&sink, &config, &mut report).await;
        let mut task = SourceConnector::open(&source, &config, &Stored(None))
            .await
            .unwrap();
        let errors = [
            task.poll().await.unwrap_err(),
            SinkConnector::open(&sink, &config, false)
                .await
                .err()
                .unwrap(),
        ];
        let texts: Vec<_> = report
            .errors
            .iter()
            .map(|problem| problem.message.clone())
            .collect();
        for text in errors
            .iter()
            .map(Error::message)
            .chain(texts.iter().map(String::as_str))
        {
            assert!(
                text.contains(&file) && text.contains("file.allowed.paths"),
                "{text}"
            );
        }
        assert_eq!(texts.len(), 2);
    }
    assert!(!fs::exists(outside.path("new")).unwrap());
}
