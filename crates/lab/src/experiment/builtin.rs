//! The experiments of rectify, part of the program.

/// Name and text of each file of the folder `experiments`.
pub(super) const EXPERIMENTS: &[(&str, &str)] = &[
    ("baselines", include_str!("../../experiments/baselines.toml")),
    ("de-rrd", include_str!("../../experiments/de-rrd.toml")),
    ("de-rrd-log", include_str!("../../experiments/de-rrd-log.toml")),
    ("deforec", include_str!("../../experiments/deforec.toml")),
    ("dgcn-bincf", include_str!("../../experiments/dgcn-bincf.toml")),
    ("hdn", include_str!("../../experiments/hdn.toml")),
    ("lightrec", include_str!("../../experiments/lightrec.toml")),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::ExperimentFile;

    #[test]
    fn every_file_of_the_folder_is_part_of_the_program() -> anyhow::Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
        let names = |files: Vec<ExperimentFile>| files.into_iter().map(|file| file.name).collect::<Vec<_>>();
        assert_eq!(names(ExperimentFile::of_folder(&folder)?), names(ExperimentFile::builtin()));
        Ok(())
    }
}
