#![cfg(feature = "train")]
//! Learning: codes of vectors alone (`rvq`, `pq`, `opq`), and codes learned with the interactions (`light_rec`).

mod error;
mod kmeans;
pub mod light_rec;
pub mod opq;
pub mod pq;
mod quantiser;
mod rotation;
pub mod rvq;
mod teacher;

pub use error::{FitError, TeacherError};
pub use light_rec::{Distillation, LightRecConfig, Recurrence, Similarity};
pub use opq::{OpqConfig, Rotation};
pub use quantiser::QuantiserConfig;
pub use teacher::TeacherVectors;

pub use rectify_core::Teacher;
pub use rectify_core::rng::Seed;
pub use rectify_data::Interactions;
#[cfg(feature = "cuda")]
pub use rectify_tensor::cuda::GpuOps;
pub use rectify_tensor::train::{
    Checkpoint, Event, FitConfig, FitReport, Observer, Silent, StopReason, TrainError, TrainRun, Validate,
};
pub use rectify_tensor::{Optimizer, RowUpdate};
