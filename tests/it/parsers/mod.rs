//! The committed inputs of the fuzz targets, each played once: what was found before is not found again.

pub mod targets;

use testkit::project_folder;

#[test]
fn every_parser_survives_the_committed_inputs() {
    let corpus = project_folder().join("fuzz/corpus");
    let (mut played, mut bytes) = (0, 0);
    for (name, target) in targets::TARGETS {
        let folder = corpus.join(name);
        let inputs: Vec<_> = std::fs::read_dir(&folder)
            .expect("a folder for each target")
            .flatten()
            .collect();
        assert!(
            inputs.len() > 3,
            "{} has only {} inputs",
            folder.display(),
            inputs.len()
        );
        for input in inputs {
            let input = std::fs::read(input.path()).unwrap();
            target(&input);
            (played, bytes) = (played + 1, bytes + input.len());
        }
    }
    println!("{played} inputs of {bytes} bytes");
    assert!(bytes < 1_000_000, "the corpus has grown to {bytes} bytes");
}
