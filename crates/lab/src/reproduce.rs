//! `reproduce`: experiments in, results out.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rectify_core::UnknownName;
use rectify_data::{DataSource, Places};
use rectify_models::Kinds;
use rectify_models::train::{Place, Store, Trainer, Watch};

use crate::experiment::{Experiment, ExperimentFile, How, Plan, print, set};
use crate::measure::ProcessMeter;
use crate::record::{Results, Verdicts};
use crate::{refusal, report, run};

/// What to run, on what, and where the results go.
pub struct Reproduction {
    /// The kinds of model that experiments may name.
    pub kinds: Kinds,
    /// The experiments that may be asked for.
    pub experiments: Vec<ExperimentFile>,
    /// Names of those that are, or paths to others, which end in `.toml`; all named ones when empty.
    pub papers: Vec<String>,
    /// What they run on; each experiment's own data when absent.
    pub source: Option<DataSource>,
    /// Where data are looked for.
    pub places: Places,
    /// How much work: one of [`PROFILES`](crate::experiment::PROFILES).
    pub profile: String,
    /// Models to run, with those that they need; all when empty.
    pub models: Vec<String>,
    /// Settings that are different, as `MODEL.FIELD=VALUE`; dots in the field lead to inner tables.
    pub set: Vec<String>,
    /// Number of seeds; the experiment says when absent.
    pub seeds: Option<u32>,
    /// The first of them.
    pub first_seed: u64,
    /// Where models are trained.
    pub place: Place,
    /// The folder of the results, and of the trained models in `cache`.
    pub out: PathBuf,
    /// Whether models that are there are trained again.
    pub fresh: bool,
    /// Version of the program, for the record.
    pub commit: String,
    /// What was typed, for the report.
    pub command: String,
}

impl Reproduction {
    /// Every experiment of rectify as `quick` runs it on the built-in data, into `out`.
    #[must_use]
    pub fn new(out: PathBuf) -> Self {
        Self {
            kinds: Kinds::builtin(),
            experiments: ExperimentFile::builtin(),
            papers: Vec::new(),
            source: None,
            places: Places::usual(None),
            profile: "quick".into(),
            models: Vec::new(),
            set: Vec::new(),
            seeds: None,
            first_seed: 0,
            place: Place::Cpu,
            out,
            fresh: false,
            commit: concat!("v", env!("CARGO_PKG_VERSION")).into(),
            command: "rectify-lab".into(),
        }
    }

    /// Trains, evaluates and reports; writes `report.html`, `report.md`, `results.json` (values and claims) and `runs.jsonl`
    /// (settings and curves).
    ///
    /// # Errors
    /// Everything that can be wrong with experiments, before anything is trained; then data that cannot be had, and trainings that
    /// fail.
    pub fn run(&self, watch: &mut dyn Watch) -> Result<Results> {
        let plans = self.plans()?;
        if self.out.is_file() {
            return Err(refusal::output(format!("--out {} is a file, expected a folder", self.out.display())));
        }
        let store = Store::open(self.out.join("cache"), self.fresh)?;
        let trainer = Trainer { store: &store, place: &self.place, meter: &ProcessMeter::default() };
        let mut results = Results::default();
        let context = run::Context {
            kinds: &self.kinds,
            trainer: &trainer,
            first_seed: self.first_seed,
            profile: &self.profile,
            commit: &self.commit,
        };
        for (plan, source) in &plans {
            watch.say(&format!("{}: {} on {}", plan.paper, plan.title, plan.dataset));
            run::run(plan, source, &context, watch, &mut results)?;
        }
        results.verdicts = Verdicts::of(&results.claims);
        report::write(&results, &self.command, &self.out)?;
        Ok(results)
    }

    /// What [`run`](Self::run) would train, as TOML: models with every setting, seeds, searches, claims. Reads no data.
    ///
    /// # Errors
    /// Everything that can be wrong with experiments.
    pub fn plan(&self) -> Result<String> {
        let how = How { profile: &self.profile, first_seed: self.first_seed };
        let pages = self.plans()?.into_iter().map(|(plan, _)| print(&plan, &self.kinds, &how));
        Ok(pages.collect::<Result<Vec<_>>>()?.join("\n"))
    }

    /// The plans of what was asked for, checked, with their data.
    fn plans(&self) -> Result<Vec<(Plan, DataSource)>> {
        let mut plans = Vec::new();
        for experiment in &self.chosen()? {
            let source = match &self.source {
                Some(source) => source.clone(),
                None => DataSource::named(&experiment.dataset, &self.places)?,
            };
            let mut plan = experiment.plan(source.name(), &self.profile, &self.models)?;
            plan.seeds = self.seeds.unwrap_or(plan.seeds);
            run::check(&plan, &self.kinds)?;
            self.check_place(&plan)?;
            plans.push((plan, source));
        }
        for text in &self.set {
            set(plans.iter_mut().map(|(plan, _)| plan), text, &self.kinds)?;
        }
        // Ways to serve a model and trials must still go with what was set.
        plans.iter().try_for_each(|(plan, _)| run::check(plan, &self.kinds))?;
        Ok(plans)
    }

    /// The experiments that were asked for: those of rectify in their order, then those by path.
    fn chosen(&self) -> Result<Vec<Experiment>> {
        let is_path = |paper: &&String| Path::new(paper).extension().is_some_and(|extension| extension == "toml");
        let (paths, papers): (Vec<&String>, Vec<&String>) = self.papers.iter().partition(is_path);
        let names: Vec<&str> = self.experiments.iter().map(|file| file.name.as_str()).collect();
        if let Some(paper) = papers.iter().find(|paper| !names.contains(&paper.as_str())) {
            let unknown = UnknownName::new("paper", paper, names);
            return Err(refusal::usage(format!("{unknown}; a file of your own ends in .toml")));
        }
        let wanted = |name: &str| self.papers.is_empty() || papers.iter().any(|paper| *paper == name);
        let mut files: Vec<ExperimentFile> =
            self.experiments.iter().filter(|file| wanted(&file.name)).cloned().collect();
        for path in paths {
            let file = ExperimentFile::at(Path::new(path))?;
            if files.iter().any(|other| other.name == file.name) {
                let problem = format!("{path}: an experiment named '{}' is run already", file.name);
                return Err(refusal::usage(format!("{problem}; results are told apart by name, so rename the file")));
            }
            files.push(file);
        }
        files.iter().map(ExperimentFile::read).collect()
    }

    /// Fails for the first model of a plan that the place cannot train.
    fn check_place(&self, plan: &Plan) -> Result<()> {
        for model in &plan.models {
            let kind = self.kinds.get(&model.kind)?;
            if !self.place.trains(kind) {
                let known: Vec<&str> =
                    self.kinds.iter().filter(|kind| kind.abilities.on_device).map(|kind| kind.name).collect();
                return Err(refusal::usage(format!(
                    "--device cuda: model {} of experiment {} is of kind {}, which trains on the CPU alone; choose others \
                     with --model NAME (kinds that train on a GPU: {}), or use --device cpu",
                    model.name,
                    plan.paper,
                    kind.name,
                    known.join(", ")
                )));
            }
        }
        Ok(())
    }
}
