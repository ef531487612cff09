//! The best of many scores, without bringing all of them back.

use rectify_core::{Hit, ItemFilter, ItemId, QueryError, TopK, check_batch, check_len};
use rectify_cuda::{Args, Buffer, Gpu, GpuError, Shape, Source};

pub(crate) static SOURCE: Source = Source {
    name: "select",
    text: include_str!("../kernels/select.cu"),
    kernels: &["count_digits", "pick_digit", "collect_best"],
};

/// Digits of a key, from the highest: where each begins and where the one before it began.
const DIGITS: [(usize, usize); 6] = [(53, 64), (42, 53), (31, 42), (20, 31), (9, 20), (0, 9)];
/// Most values of a digit.
const N_DIGITS: usize = 1 << 11;
/// Items that a block looks at.
const PER_BLOCK: usize = 4096;

/// What a device refused, as the error of a query.
#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
#[must_use]
pub fn device_error(error: GpuError) -> QueryError {
    QueryError::Device(error.to_string())
}

/// The best `k` items of each row of scores on a device, in the order of [`Hit`]: as
/// [`rectify_core::select_top_k`] gives them, bit for bit.
///
/// **Shapes**: scores (queries, n_items); `filters` one a query, or one for all; `out` one a query.
///
/// # Errors
/// Lengths that disagree; [`QueryError::NotFinite`] for a score that is NaN, at its item, filtered or not; [`QueryError::Device`].
pub fn select_top_k(
    gpu: &Gpu,
    scores: &Buffer<f32>,
    n_items: usize,
    k: usize,
    filters: &[ItemFilter<'_>],
    out: &mut [TopK],
) -> Result<(), QueryError> {
    let n_queries = out.len();
    check_batch(n_queries, filters.len(), out)?;
    check_len("scores", n_queries * n_items, scores.len())?;
    let k = k.min(n_items);
    if k == 0 || n_queries == 0 {
        return Ok(());
    }
    let keys = best_keys(gpu, scores, n_items, k, filters, n_queries).map_err(device_error)?;
    let Keys { first_nan, taken, best } = keys;
    if let Some(position) = first_nan.iter().copied().find(|at| *at != u32::MAX) {
        return Err(QueryError::NotFinite { position: position as usize, value: f32::NAN });
    }
    for ((out, taken), keys) in out.iter_mut().zip(taken).zip(best.chunks_exact(k)) {
        out.assign(k, keys[..(taken as usize).min(k)].iter().map(|key| hit(*key)));
    }
    Ok(())
}

struct Keys {
    first_nan: Vec<u32>,
    taken: Vec<u32>,
    best: Vec<u64>,
}

#[expect(unsafe_code, reason = "a launch is a promise about its arguments")]
fn best_keys(
    gpu: &Gpu,
    scores: &Buffer<f32>,
    n: usize,
    k: usize,
    filters: &[ItemFilter<'_>],
    n_queries: usize,
) -> Result<Keys, GpuError> {
    let (masks, n_masks) = masks(gpu, filters, n)?;
    let mut found = gpu.zeros::<u64>(n_queries)?;
    let mut done = gpu.zeros::<u32>(n_queries)?;
    let mut left = gpu.upload(&vec![k as u32; n_queries])?;
    let mut first_nan = gpu.upload(&vec![u32::MAX; n_queries])?;
    let mut counts = gpu.zeros::<u32>(n_queries * N_DIGITS)?;
    let rows = u32::try_from(n_queries).expect("a tile of queries");
    let all = Shape { blocks: [n.div_ceil(PER_BLOCK) as u32, rows], threads: 256 };
    let one_each = Shape { blocks: [rows, 1], threads: 256 };
    for (shift, from) in DIGITS {
        let args = Args::new().read(scores).read(&masks).size(n_masks).size(n).read(&found).read(&done);
        let args = args.size(shift).size(from).write(&mut counts).write(&mut first_nan);
        // SAFETY: scores hold a row of n for each block row, masks as many rows as `n_masks` says, everything else one value a query, and
        // counts `N_DIGITS`.
        unsafe { gpu.run(&SOURCE, "count_digits", all, args) }?;
        let args = Args::new().size(shift).size(1 << (from - shift)).write(&mut counts);
        let args = args.write(&mut found).write(&mut left).write(&mut done);
        // SAFETY: a block a query, with `N_DIGITS` counts each.
        unsafe { gpu.run(&SOURCE, "pick_digit", one_each, args) }?;
    }
    let mut taken = gpu.zeros::<u32>(n_queries)?;
    let mut best = gpu.zeros::<u64>(n_queries * k)?;
    let args = Args::new().read(scores).read(&masks).size(n_masks).size(n).read(&found).size(k);
    // SAFETY: as above; a query writes k keys at most.
    unsafe { gpu.run(&SOURCE, "collect_best", all, args.write(&mut taken).write(&mut best)) }?;
    Ok(Keys { first_nan: gpu.download(&first_nan)?, taken: gpu.download(&taken)?, best: gpu.download(&best)? })
}

/// A bit for each rejected item, and how many rows of them: none where every item passes.
fn masks(gpu: &Gpu, filters: &[ItemFilter<'_>], n: usize) -> Result<(Buffer<u32>, usize), GpuError> {
    if filters.iter().all(ItemFilter::is_all) {
        return Ok((gpu.zeros(0)?, 0));
    }
    let words = n.div_ceil(32);
    let mut rows = vec![0u32; words * filters.len()];
    for (filter, row) in filters.iter().zip(rows.chunks_exact_mut(words)) {
        filter.mark_rejected(row);
    }
    Ok((gpu.upload(&rows)?, filters.len()))
}

/// The hit of a key of `select.cu`.
fn hit(key: u64) -> Hit {
    let rising = (key >> 32) as u32;
    let bits = if rising >> 31 == 1 { rising & !(1 << 31) } else { !rising };
    Hit { item: ItemId(u32::MAX - key as u32), score: f32::from_bits(bits) }
}
