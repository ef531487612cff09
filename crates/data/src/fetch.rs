//! Downloads of what a manifest names.
//!
//! Bytes go to `<file>.part` beside the goal, are checked, and are renamed into place; an interrupted download goes on where
//! it stopped. Nothing is printed: progress goes to a callback, and the licence comes back as a value, to be shown.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::Manifest;
use crate::read::hex;

/// Why a download failed. What had arrived before an interruption stays for the next try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No answer: no network, unknown host, time-out.
    #[error("cannot reach {url}: {problem}; check the network and try again")]
    Connect {
        /// Address.
        url: String,
        /// The reason.
        problem: String,
    },
    /// An answer other than the file.
    #[error("{url} answers with status {status}, expected 200 or 206; the address may have moved, see {homepage}")]
    Status {
        /// Address.
        url: String,
        /// HTTP status.
        status: u16,
        /// Where people read about the data set.
        homepage: String,
    },
    /// Fewer bytes than announced.
    #[error("{url} broke off after {got} of {expected} bytes; fetch again to go on from there")]
    Interrupted {
        /// Address.
        url: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes that arrived.
        got: u64,
    },
    /// Bytes other than expected; they were removed.
    #[error("{url} serves bytes with SHA-256 {got}, expected {expected}; the file was removed")]
    Checksum {
        /// Address.
        url: String,
        /// Digest of the manifest.
        expected: String,
        /// Digest of what arrived.
        got: String,
    },
    /// The disk said no.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// File or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// How far a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Name of the file.
    pub file: String,
    /// Bytes there, resumed ones included.
    pub received: u64,
    /// Bytes in all, if the server says so.
    pub total: Option<u64>,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies.
    pub path: PathBuf,
    /// How it came there.
    pub outcome: Outcome,
}

/// How a file came to be where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was there.
    Present,
    /// It was downloaded, and its checksum agrees.
    Verified,
    /// It was downloaded; no checksum of these bytes is known, so counts decide when it is prepared.
    Unverified,
}

/// Result of [`fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchReport {
    /// Terms of use, to be shown.
    pub licence: String,
    /// Files of the data set.
    pub files: Vec<Fetched>,
    /// Files without public address, which must be made or copied by hand.
    pub not_public: Vec<String>,
}

/// Downloads all files of a data set into its folder under `dir`; files that are there stay.
///
/// # Errors
/// The first download that fails.
pub fn fetch(manifest: &Manifest, dir: &Path, progress: &mut dyn FnMut(&Progress)) -> Result<FetchReport, FetchError> {
    let folder = manifest.folder_in(dir);
    fs::create_dir_all(&folder).map_err(|source| FetchError::Io { action: "create", path: folder.clone(), source })?;
    let mut report = FetchReport { licence: manifest.licence.clone(), files: Vec::new(), not_public: Vec::new() };
    let mut archives: Vec<&str> = Vec::new();
    for entry in &manifest.files {
        let plain = folder.join(&entry.path);
        let packed = folder.join(format!("{}.gz", entry.path));
        if let Some(path) = [&plain, &packed].into_iter().find(|path| path.is_file()) {
            report.files.push(Fetched { path: path.clone(), outcome: Outcome::Present });
        } else if let Some(archive) = &entry.archive {
            if !archives.contains(&archive.as_str()) {
                archives.push(archive);
            }
        } else if let Some(url) = &entry.url {
            let sha256 = entry.sha256.as_deref().filter(|_| entry.url_serves_these_bytes);
            report.files.push(Download { url, goal: &plain, sha256, homepage: &manifest.homepage }.run(progress)?);
        } else {
            report.not_public.push(entry.path.clone());
        }
    }
    for archive in manifest.archives.iter().filter(|archive| archives.contains(&archive.path.as_str())) {
        let goal = folder.join(&archive.path);
        let sha256 = archive.sha256.as_deref();
        let download = Download { url: &archive.url, goal: &goal, sha256, homepage: &manifest.homepage };
        let fetched =
            if goal.is_file() { Fetched { path: goal, outcome: Outcome::Present } } else { download.run(progress)? };
        report.files.push(fetched);
    }
    Ok(report)
}

struct Download<'a> {
    url: &'a str,
    goal: &'a Path,
    sha256: Option<&'a str>,
    homepage: &'a str,
}

impl Download<'_> {
    fn run(&self, progress: &mut dyn FnMut(&Progress)) -> Result<Fetched, FetchError> {
        let mut name = self.goal.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = self.goal.with_file_name(name);
        let resumed = part.metadata().is_ok_and(|part| part.len() > 0);
        self.receive(&part, progress)?;
        let outcome = match self.verify(&part) {
            // The file may have changed at its address between the two halves: once more from the start.
            Err(FetchError::Checksum { .. }) if resumed => {
                self.receive(&part, progress)?;
                self.verify(&part)?
            }
            other => other?,
        };
        fs::rename(&part, self.goal).map_err(|source| self.io("rename into", self.goal, source))?;
        Ok(Fetched { path: self.goal.to_owned(), outcome })
    }

    /// Brings `part` to its full length.
    fn receive(&self, part: &Path, progress: &mut dyn FnMut(&Progress)) -> Result<(), FetchError> {
        let have = part.metadata().map_or(0, |part| part.len());
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .build()
            .into();
        let mut request = agent.get(self.url);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        let connect = |error: ureq::Error| FetchError::Connect { url: self.url.to_owned(), problem: error.to_string() };
        let response = request.call().map_err(connect)?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let length: Option<u64> = header("content-length").and_then(|length| length.parse().ok());
        let (start, total) = match response.status().as_u16() {
            200 => (0, length),
            206 => {
                // `bytes 100-999/1000`; another start than asked for cannot be used.
                let range = header("content-range").unwrap_or_default();
                let start = range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse().ok());
                if start != Some(have) {
                    return self.again(part, progress);
                }
                (have, length.map(|length| have + length))
            }
            // Nothing lies behind what is there: it is whole, or of another version; the checksum tells.
            416 if header("content-range").is_some_and(|range| range == format!("bytes */{have}")) => return Ok(()),
            416 if have > 0 => return self.again(part, progress),
            status => {
                let (url, homepage) = (self.url.to_owned(), self.homepage.to_owned());
                return Err(FetchError::Status { url, status, homepage });
            }
        };

        let mut file = OpenOptions::new()
            .create(true)
            .append(start > 0)
            .write(true)
            .truncate(start == 0)
            .open(part)
            .map_err(|source| self.io("open", part, source))?;
        let file_name = self.goal.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut state = Progress { file: file_name, received: start, total };
        progress(&state);
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 17];
        let broke_off = loop {
            match reader.read(&mut buffer) {
                Ok(0) => break None,
                Ok(n) => {
                    file.write_all(&buffer[..n]).map_err(|source| self.io("write", part, source))?;
                    state.received += n as u64;
                    progress(&state);
                }
                Err(error) => break Some(error),
            }
        };
        file.sync_all().map_err(|source| self.io("sync", part, source))?;
        match (broke_off, total) {
            (_, Some(total)) if state.received < total => {
                Err(FetchError::Interrupted { url: self.url.to_owned(), expected: total, got: state.received })
            }
            (Some(error), _) => Err(FetchError::Connect { url: self.url.to_owned(), problem: error.to_string() }),
            (None, _) => Ok(()),
        }
    }

    fn again(&self, part: &Path, progress: &mut dyn FnMut(&Progress)) -> Result<(), FetchError> {
        fs::remove_file(part).map_err(|source| self.io("remove", part, source))?;
        self.receive(part, progress)
    }

    /// Compares the checksum; wrong bytes are removed.
    fn verify(&self, part: &Path) -> Result<Outcome, FetchError> {
        let Some(expected) = self.sha256 else { return Ok(Outcome::Unverified) };
        let mut hasher = Sha256::new();
        let mut file = File::open(part).map_err(|source| self.io("open", part, source))?;
        let mut buffer = vec![0; 1 << 17];
        loop {
            match file.read(&mut buffer).map_err(|source| self.io("read", part, source))? {
                0 => break,
                n => hasher.update(&buffer[..n]),
            }
        }
        let got = hex(&hasher.finalize());
        if got == expected {
            return Ok(Outcome::Verified);
        }
        fs::remove_file(part).map_err(|source| self.io("remove", part, source))?;
        Err(FetchError::Checksum { url: self.url.to_owned(), expected: expected.to_owned(), got })
    }

    fn io(&self, action: &'static str, path: &Path, source: io::Error) -> FetchError {
        FetchError::Io { action, path: path.to_owned(), source }
    }
}
