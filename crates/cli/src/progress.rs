//! What is seen while training runs: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rectify_models::train::Watch;
use rectify_tensor::train::{Event, Observer};

/// Between two plain lines about one training.
const QUIET: Duration = Duration::from_secs(10);

/// Watches one training after the other.
pub(crate) struct Progress {
    /// `None` where there is no terminal.
    bar: Option<ProgressBar>,
    label: String,
    max_epochs: u32,
    loss: f64,
    last_line: Instant,
}

impl Progress {
    /// Chooses by whether standard error is a terminal.
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // A template that does not parse would be a mistake of ours; the default style shows it soon enough.
            if let Ok(style) =
                ProgressStyle::with_template("{prefix:24} {bar:24} {pos:>4}/{len:<4} {eta:>4} left  {msg}")
            {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, label: String::new(), max_epochs: 0, loss: 0.0, last_line: Instant::now() }
    }
}

impl Watch for Progress {
    fn say(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    fn begin(&mut self, label: &str) {
        label.clone_into(&mut self.label);
        self.last_line = Instant::now();
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_length(1);
            bar.set_prefix(self.label.clone());
            bar.set_message("");
        }
    }

    fn end(&mut self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.say(text);
    }
}

impl Observer for Progress {
    fn on_event(&mut self, event: &Event) -> ControlFlow<()> {
        match event {
            Event::Started { done, max_epochs } => {
                self.max_epochs = *max_epochs;
                if *done > 0 {
                    self.say(&format!("{}: goes on after epoch {done}", self.label));
                }
                if let Some(bar) = &self.bar {
                    bar.set_length(u64::from(*max_epochs));
                    bar.set_position(u64::from(*done));
                    // The time left is judged by the epochs of this process alone.
                    bar.reset_eta();
                }
            }
            Event::Trained { epoch, stats } => {
                self.loss = stats.loss;
                if let Some(bar) = &self.bar {
                    bar.set_position(u64::from(*epoch));
                    bar.set_message(format!("loss {:.4}", stats.loss));
                } else if self.last_line.elapsed() >= QUIET {
                    self.last_line = Instant::now();
                    eprintln!("{}: epoch {epoch}/{}  loss {:.4}", self.label, self.max_epochs, stats.loss);
                }
            }
            Event::Validated { metric, best, .. } => {
                if let Some(bar) = &self.bar {
                    let mark = if *best { ", best so far" } else { "" };
                    bar.set_message(format!("loss {:.4}  validation {metric:.4}{mark}", self.loss));
                }
            }
            // Nothing to show; and what later versions tell is not known yet.
            Event::Checkpointed { .. } | Event::Finished { .. } | _ => {}
        }
        ControlFlow::Continue(())
    }
}
