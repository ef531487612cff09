//! Sources become PTX where the run-time compiler is installed; elsewhere, and without a GPU, errors say what is missing.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use rectify_cuda::{Architecture, Gpu, GpuError, Source, compile};

const HOPPER: Architecture = Architecture { major: 9, minor: 0 };

#[test]
fn a_source_becomes_ptx_or_its_error_is_shown() {
    static PROBE: Source = Source { name: "probe", text: include_str!("probe.cu"), kernels: &["indices"] };
    static BROKEN: Source = Source { name: "broken", text: "extern \"C\" __global__ void k( {", kernels: &["k"] };
    match compile(&PROBE, HOPPER) {
        Ok(ptx) => {
            assert!(ptx.contains(".entry indices(") && ptx.contains(".target sm_90"), "{ptx}");
            let error = compile(&BROKEN, HOPPER).unwrap_err().to_string();
            assert!(error.contains("broken.cu does not compile for compute_90") && error.contains("error"), "{error}");
        }
        Err(error) => {
            assert!(matches!(error, GpuError::NoCompiler), "{error}");
            eprintln!("skipped: {error}");
        }
    }
}

#[test]
fn a_machine_without_gpu_says_so() {
    match Gpu::open(0) {
        Ok(gpu) => {
            assert!(!gpu.describe().unwrap().name.is_empty());
            let error = Gpu::open(999).unwrap_err();
            assert!(matches!(error, GpuError::NoDevice { ordinal: 999, .. }), "{error}");
        }
        Err(error) => {
            let expected = matches!(error, GpuError::NoDriver | GpuError::NoDevice { .. } | GpuError::Driver { .. });
            assert!(expected, "{error}");
            eprintln!("no GPU here: {error}");
        }
    }
}
