//! The emulator gives threads, barriers, shuffles and shared memory their meaning.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]
#![expect(unsafe_code, reason = "launching a kernel is a promise about its arguments")]

use rectify_cuda::{Args, Gpu, GpuError, Shape, Source};

static PROBE: Source = Source {
    name: "probe",
    text: include_str!("probe.cu"),
    kernels: &["indices", "block_sums", "prefix_of_warp", "votes", "many_types"],
};

/// A machine without a C++ compiler says so and goes on.
fn gpu() -> Option<Gpu> {
    Gpu::emulated().inspect_err(|error| eprintln!("skipped: {error}")).ok()
}

#[test]
fn threads_know_their_place() {
    let Some(gpu) = gpu() else { return };
    let kernel = gpu.kernel(&PROBE, "indices").unwrap();
    let shape = Shape { blocks: [3, 2], threads: 64 };
    let mut out = gpu.zeros::<u32>(3 * 2 * 64).unwrap();
    // SAFETY: `indices` writes one number a thread.
    unsafe { gpu.launch(&kernel, shape, Args::new().write(&mut out)) }.unwrap();
    let want: Vec<u32> =
        (0..2).flat_map(|y| (0..3).flat_map(move |x| (0..64).map(move |t| y * 10_000 + x * 1000 + t))).collect();
    assert_eq!(gpu.download(&out).unwrap(), want);
}

#[test]
fn barriers_and_shared_memory_sum_a_block() {
    let Some(gpu) = gpu() else { return };
    let kernel = gpu.kernel(&PROBE, "block_sums").unwrap();
    for n in [1usize, 31, 256, 257, 1000] {
        let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
        let (x, blocks) = (gpu.upload(&x).unwrap(), n.div_ceil(256));
        let mut sums = gpu.zeros::<f32>(blocks).unwrap();
        let shape = Shape { blocks: [blocks as u32, 1], threads: 256 };
        // SAFETY: `block_sums` reads n numbers and writes one a block.
        unsafe { gpu.launch(&kernel, shape, Args::new().read(&x).size(n).write(&mut sums)) }.unwrap();
        let total: f32 = gpu.download(&sums).unwrap().iter().sum();
        assert_eq!(total, (n * (n - 1) / 2) as f32, "{n}");
    }
}

#[test]
fn shuffles_pass_values_within_a_warp_alone() {
    let Some(gpu) = gpu() else { return };
    let kernel = gpu.kernel(&PROBE, "prefix_of_warp").unwrap();
    let mut out = gpu.zeros::<u32>(96).unwrap();
    // SAFETY: one number a thread.
    unsafe { gpu.launch(&kernel, Shape { blocks: [1, 1], threads: 96 }, Args::new().write(&mut out)) }.unwrap();
    let want: Vec<u32> = (0..96).map(|t| (0..=t % 32).map(|lane| t / 32 * 32 + lane).sum()).collect();
    assert_eq!(gpu.download(&out).unwrap(), want);

    let kernel = gpu.kernel(&PROBE, "votes").unwrap();
    let mut out = gpu.zeros::<u32>(64).unwrap();
    // SAFETY: one number a thread.
    unsafe { gpu.launch(&kernel, Shape { blocks: [1, 1], threads: 64 }, Args::new().write(&mut out)) }.unwrap();
    let want = |t: u32| {
        (0..32).filter(|lane| (t / 32 * 32 + lane).is_multiple_of(3)).fold(0u32, |bits, lane| bits | 1 << lane)
    };
    assert_eq!(gpu.download(&out).unwrap(), (0..64).map(want).collect::<Vec<_>>());
}

#[test]
fn every_kind_of_argument_arrives() {
    let Some(gpu) = gpu() else { return };
    let kernel = gpu.kernel(&PROBE, "many_types").unwrap();
    let bytes = gpu.upload(&[1u8, 2, 250]).unwrap();
    let words = gpu.upload(&[1u64 << 40, 3]).unwrap();
    let mut out = gpu.zeros::<f32>(1).unwrap();
    let args = Args::new().read(&bytes).read(&words).size(7).float(0.25).write(&mut out);
    // SAFETY: three bytes, two words and one result.
    unsafe { gpu.launch(&kernel, Shape { blocks: [1, 1], threads: 32 }, args) }.unwrap();
    assert_eq!(gpu.download(&out).unwrap(), [1.0 + 2.0 + 250.0 + 3.0 + 7.0 + 0.25 + 40.0]);
}

#[test]
fn buffers_of_no_values_and_wrong_lengths_are_handled() {
    let Some(gpu) = gpu() else { return };
    assert!(gpu.download(&gpu.zeros::<f32>(0).unwrap()).unwrap().is_empty());
    let mut three = gpu.zeros::<u8>(3).unwrap();
    let error = gpu.upload_into(&[1, 2], &mut three).unwrap_err();
    assert!(matches!(error, GpuError::Length { expected: 3, got: 2 }), "{error}");
}

#[test]
fn a_kernel_that_is_not_there_and_a_source_that_is_no_program_are_named() {
    static BROKEN: Source = Source { name: "broken", text: "extern \"C\" __global__ void k( {", kernels: &["k"] };
    let Some(gpu) = gpu() else { return };
    let error = gpu.kernel(&PROBE, "indexes").unwrap_err().to_string();
    assert!(error.contains("probe.cu, indexes"), "{error}");
    let error = gpu.kernel(&BROKEN, "k").unwrap_err().to_string();
    assert!(error.contains("broken.cu") && error.contains("error"), "{error}");
}
