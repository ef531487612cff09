//! The stages on a GPU, survivors in ever shorter lists.

use std::sync::Arc;

use rectify_core::{Catalogue, QueryError, UserId};
use rectify_cuda::{Args, Buffer, Gpu, GpuError, Shape, Source};
use rectify_gpu_search::{DeviceScores, DeviceSearch, device_error};

use super::rejection::marker_base;
use crate::{CascadeIndex, Rejection};

/// The kernel file of this crate.
pub static SOURCE: Source = Source {
    name: "cascade",
    text: include_str!("../../kernels/cascade.cu"),
    kernels: &["keep_survivors", "run_module", "score_survivors"],
};

/// A [`CascadeIndex`] on a device: the same ids and scores, bit for bit, rejected items that fill a list included.
pub type DeviceCascadeIndex = DeviceSearch<DeviceCascade>;

/// Items and modules on a device. Users stay on the CPU: a search uploads those that ask.
#[derive(Clone, Debug)]
pub struct DeviceCascade {
    gpu: Arc<Gpu>,
    index: CascadeIndex,
    items: Arc<Buffer<f32>>,
    /// Weight of each module, and the head behind it.
    modules: Arc<[[Buffer<f32>; 2]]>,
}

impl CascadeIndex {
    /// Uploads items and modules.
    ///
    /// # Errors
    /// [`QueryError::Unsupported`] under [`Rejection::Share`], which ranks all of a user's items at each stage;
    /// [`QueryError::Device`].
    pub fn on_device(&self, gpu: &Arc<Gpu>) -> Result<DeviceCascadeIndex, QueryError> {
        if let Rejection::Share(_) = self.rejection() {
            let what = "a cascade that rejects by share is searched on the CPU alone; give it thresholds first \
                        (CascadeIndex::calibrated)";
            return Err(QueryError::Unsupported(what.into()));
        }
        let network = self.network();
        let upload = |values: &[f32]| gpu.upload(values);
        let module = |n: usize| Ok([upload(network.weight(n))?, upload(network.head(n + 1))?]);
        let modules: Result<Vec<_>, GpuError> = (0..self.n_modules()).map(module).collect();
        let items = Arc::new(upload(network.items()).map_err(device_error)?);
        let modules = modules.map_err(device_error)?.into();
        Ok(DeviceSearch::over(DeviceCascade { gpu: Arc::clone(gpu), index: self.clone(), items, modules }))
    }
}

impl DeviceCascade {
    /// All pairs of some users through all stages; `users` and `folded` (n_users, dim).
    #[expect(unsafe_code, reason = "a launch is a promise about its arguments")]
    fn stages(&self, users: &[f32], folded: &[f32], scores: &mut Buffer<f32>) -> Result<(), GpuError> {
        let (gpu, network) = (&self.gpu, self.index.network());
        let (dim, n_items, n_pairs) = (network.dim, network.n_items, scores.len());
        let (users, folded) = (gpu.upload(users)?, gpu.upload(folded)?);
        let mut values = gpu.zeros(n_pairs)?;
        gpu.gemm((n_pairs / n_items, n_items, dim), 1.0, &folded, false, &self.items, true, 0.0, &mut values)?;
        let (mut pairs, mut before, mut n) = (gpu.zeros::<u32>(0)?, gpu.zeros::<f32>(0)?, n_pairs);
        for (module, [weight, head]) in self.modules.iter().enumerate() {
            let (mut next, mut from) = (gpu.zeros::<u32>(n)?, gpu.zeros::<u32>(n)?);
            let mut n_next = gpu.zeros::<u32>(1)?;
            let base = marker_base(self.modules.len(), module);
            let first = usize::from(module == 0);
            let args = Args::new().read(&values).read(&pairs).size(first).size(n).float(network.bias(module));
            let args = args.float(self.index.thresholds()[module]).float(base);
            let args = args.write(&mut next).write(&mut from).write(&mut n_next).write(scores);
            // SAFETY: `values` has n values and `pairs` as many (none are read in the first module), the lists written have room for all.
            unsafe { gpu.run(&SOURCE, "keep_survivors", Shape::threads_for(n), args) }?;
            n = gpu.download(&n_next)?[0] as usize;
            if n == 0 {
                return Ok(());
            }
            let mut after = gpu.zeros(n * dim)?;
            values = gpu.zeros(n)?;
            let args = Args::new().read(&users).read(&self.items).size(n_items).size(dim).read(&next).read(&from);
            let args = args.size(n).read(&before).size(1 - first).read(weight).read(head);
            let args = args.write(&mut after).write(&mut values);
            // SAFETY: the n survivors are pairs of these users and items, `from` their places among `before`.
            unsafe { gpu.run(&SOURCE, "run_module", Shape::warps_for(n), args) }?;
            (pairs, before) = (next, after);
        }
        let first = usize::from(self.modules.is_empty());
        let bias = network.bias(self.modules.len());
        let args = Args::new().read(&values).read(&pairs).size(first).size(n).float(bias).write(scores);
        // SAFETY: as above.
        unsafe { gpu.run(&SOURCE, "score_survivors", Shape::threads_for(n), args) }
    }
}

impl DeviceScores for DeviceCascade {
    type Query = UserId;

    fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    fn n_items(&self) -> usize {
        self.index.n_items()
    }

    fn score_all(&self, queries: &[&UserId], scores: &mut Buffer<f32>) -> Result<(), QueryError> {
        let network = self.index.network();
        let users = queries.iter().map(|user| network.user(**user)).collect::<Result<Vec<_>, _>>()?.concat();
        if scores.is_empty() {
            return Ok(());
        }
        let fold = |user: &[f32]| network.head(0).iter().zip(user).map(|(w, p)| w * p).collect::<Vec<f32>>();
        let folded: Vec<f32> = users.chunks_exact(network.dim).flat_map(fold).collect();
        self.stages(&users, &folded, scores).map_err(device_error)
    }
}
