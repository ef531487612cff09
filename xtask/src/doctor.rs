//! `doctor`: what this machine has, and what follows from it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{cuda, workspace};

/// Python packages that `bench all` measures against.
const PEERS: [&str; 7] = ["numpy", "scipy", "torch", "faiss", "scann", "implicit", "usearch"];

/// Prints one line a finding; fails only when nothing could be built.
pub(crate) fn run() -> Result<ExitCode> {
    let compiler = tool("rustc", &["--version"]);
    let linker = tool("cc", &["--version"]);
    line("rustc", compiler.as_deref().unwrap_or("not found: install it with rustup"));
    line("cargo", tool("cargo", &["--version"]).as_deref().unwrap_or("not found"));
    line(
        "C compiler",
        linker.as_deref().unwrap_or("not found: mimalloc needs one (apt install gcc, xcode-select --install)"),
    );
    line("CPU", &cpu());
    line("SIMD", &simd());
    line("threads", &std::thread::available_parallelism().map_or_else(|e| e.to_string(), |n| n.to_string()));
    line("memory", &memory());
    line("candle", &candle());
    cuda();
    data();
    peers();
    Ok(if compiler.is_some() && linker.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(name: &str, value: &str) {
    println!("{name:<12} {value}");
}

/// First line that a tool prints, if it runs.
fn tool(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|o| o.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

/// Value of the first `key : value` line of a file such as /proc/cpuinfo.
fn proc_field(path: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

fn cpu() -> String {
    proc_field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(target_arch = "x86_64")]
fn simd() -> String {
    macro_rules! features {
        ($($name:tt),*) => { [$(($name, std::is_x86_feature_detected!($name))),*] };
    }
    let found: Vec<&str> = features!(
        "avx2",
        "fma",
        "popcnt",
        "f16c",
        "avx512f",
        "avx512bw",
        "avx512vnni",
        "avx512vbmi",
        "avx512vpopcntdq",
        "avx512bf16"
    )
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
    .collect();
    if found.is_empty() { "baseline only: kernels run their scalar twins".into() } else { found.join(" ") }
}

#[cfg(not(target_arch = "x86_64"))]
fn simd() -> String {
    format!("{}: kernels run what the compiler makes of their scalar twins", std::env::consts::ARCH)
}

fn memory() -> String {
    let gib = |key| {
        let kib: f64 = proc_field("/proc/meminfo", key)?.split_whitespace().next()?.parse().ok()?;
        Some(kib / f64::from(1 << 20))
    };
    match (gib("MemTotal"), gib("MemAvailable")) {
        (Some(total), Some(free)) => format!("{total:.1} GiB, {free:.1} GiB available"),
        _ => "unknown (no /proc/meminfo)".into(),
    }
}

/// Version of candle in Cargo.lock, and its backend in this build.
fn candle() -> String {
    let version = std::fs::read_to_string(workspace::root().join("Cargo.lock")).ok().and_then(|lock| {
        let lock: toml::Table = lock.parse().ok()?;
        lock.get("package")?.as_array()?.iter().find_map(|package| {
            (package.get("name")?.as_str()? == "candle-core")
                .then(|| package.get("version")?.as_str().map(str::to_owned))?
        })
    });
    match version {
        Some(version) => format!("{version}, CPU backend (kernels for a GPU are our own)"),
        None => "not in Cargo.lock".into(),
    }
}

/// The device, and what a program needs to use it.
fn cuda() {
    let query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"];
    let device = tool("nvidia-smi", &query);
    line(
        "GPU",
        device.as_deref().unwrap_or("none seen (no nvidia-smi); everything runs without, --device cuda is refused"),
    );
    for (name, found) in [("CUDA driver", cuda::driver()), ("NVRTC", cuda::compiler()), ("emulator", cuda::emulator())]
    {
        line(name, &found.unwrap_or_else(|missing| missing));
    }
}

/// Where data sets are looked for, and which folders are there.
fn data() {
    let mut places: Vec<(&str, PathBuf)> = Vec::new();
    match std::env::var_os("RECTIFY_DATA") {
        Some(path) => places.push(("RECTIFY_DATA", path.into())),
        None => line("data", "RECTIFY_DATA is not set: name a folder of data sets with it or with --data DIR"),
    }
    if let Some(cache) = user_cache() {
        places.push(("user cache", cache));
    }
    for (name, path) in places {
        line("data", &format!("{name} {}: {}", path.display(), folders(&path)));
    }
}

fn user_cache() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?;
    Some(base.join("rectify"))
}

fn folders(path: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(path) else { return "does not exist".into() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    if names.is_empty() { "empty".into() } else { names.join(" ") }
}

/// Which Python peers can be imported, each by name.
fn peers() {
    let python = std::env::var("RECTIFY_PYTHON").unwrap_or_else(|_| "python3".into());
    match tool(&python, &["--version"]) {
        None => line("Python", &format!("{python} does not run: bench all will name every peer as missing")),
        Some(version) => {
            line("Python", &format!("{version} ({python})"));
            let found: Vec<String> = PEERS.iter().map(|peer| peer_version(&python, peer)).collect();
            line("peers", &found.join(", "));
        }
    }
}

fn peer_version(python: &str, peer: &str) -> String {
    let script = format!(
        "import importlib.metadata as m, importlib.util as u, sys\nsys.exit(1) if u.find_spec('{peer}') is None else None\nfor n in ('{peer}', '{peer}-cpu'):\n    try: print(m.version(n)); break\n    except m.PackageNotFoundError: pass"
    );
    match tool(python, &["-c", &script]) {
        Some(version) => format!("{peer} {version}"),
        None => format!("{peer} missing"),
    }
}
