//! Bytes and lines of a file, plain, gzip, zstd or zip, told apart by their first bytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::error::{Problem, ReadError};

const BUFFER: usize = 1 << 18;

/// A place that rows come from: a file, or a member of a zip archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    member: Option<String>,
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Self { path: path.to_owned(), member: None }
    }
}

impl Source {
    /// A member of a zip archive.
    #[must_use]
    pub fn member(archive: &Path, member: &str) -> Self {
        Self { path: archive.to_owned(), member: Some(member.to_owned()) }
    }

    /// The file on disk.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What errors call it: the path, and the member behind a `!`.
    #[must_use]
    pub fn label(&self) -> PathBuf {
        match &self.member {
            None => self.path.clone(),
            Some(member) => format!("{}!{member}", self.path.display()).into(),
        }
    }

    pub(crate) fn io_error(&self, source: io::Error) -> ReadError {
        ReadError::Io { path: self.label(), source }
    }

    /// The unpacked bytes.
    ///
    /// # Errors
    /// A file that cannot be opened, or an archive without that member.
    pub fn open(&self) -> Result<Box<dyn Read>, ReadError> {
        let fail = |source| self.io_error(source);
        let mut file = File::open(&self.path).map_err(fail)?;
        let mut magic = [0; 4];
        let mut got = 0;
        while got < magic.len() {
            match file.read(&mut magic[got..]).map_err(fail)? {
                0 => break,
                n => got += n,
            }
        }
        file.rewind().map_err(fail)?;
        if let Some(member) = &self.member {
            return super::zip::open_member(file, member).map_err(|source| self.read_error(0, source));
        }
        let file = BufReader::with_capacity(BUFFER, file);
        match magic {
            [0x1f, 0x8b, ..] if got >= 2 => Ok(Box::new(MultiGzDecoder::new(file))),
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let damaged = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
                let decoder = ruzstd::decoding::StreamingDecoder::new(file);
                match decoder {
                    Ok(decoder) => Ok(Box::new(Unpacked(decoder))),
                    Err(error) => Err(self.read_error(0, damaged(error.to_string()))),
                }
            }
            [b'P', b'K', 3, 4] => Err(ReadError::Folder {
                path: self.path.clone(),
                problem: "this is a zip archive; unpack it, or name the member to read".into(),
            }),
            _ => Ok(Box::new(file)),
        }
    }

    /// SHA-256 of the unpacked bytes, in hexadecimal.
    ///
    /// # Errors
    /// As [`open`](Self::open), or bytes that cannot be read.
    pub fn sha256(&self) -> Result<String, ReadError> {
        use sha2::Digest;
        let mut reader = self.open()?;
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(hex(&hasher.finalize())),
                Ok(n) => hasher.update(&buffer[..n]),
                Err(source) => return Err(self.read_error(0, source)),
            }
        }
    }

    pub(crate) fn read_error(&self, line: u64, source: io::Error) -> ReadError {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        if matches!(source.kind(), UnexpectedEof | InvalidData | InvalidInput) {
            return ReadError::Damaged { path: self.label(), line, problem: source.to_string() };
        }
        self.io_error(source)
    }

    /// The lines, one buffer for all of them.
    pub(crate) fn lines(&self) -> Result<Lines, ReadError> {
        let reader = BufReader::with_capacity(BUFFER, self.open()?);
        Ok(Lines { source: self.clone(), reader, buffer: Vec::new(), number: 0 })
    }
}

/// A decompressor whose every error but those of the system says that the data are damaged.
struct Unpacked<R>(R);

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::Other { io::Error::new(io::ErrorKind::InvalidData, error) } else { error }
        })
    }
}

/// Digest bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lines without line ends (`\n` or `\r\n`) and trailing blanks; a byte order mark is dropped.
pub(crate) struct Lines {
    source: Source,
    reader: BufReader<Box<dyn Read>>,
    buffer: Vec<u8>,
    number: u64,
}

impl Lines {
    /// The next line, blank ones included.
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, ReadError> {
        self.buffer.clear();
        let read = self.reader.read_until(b'\n', &mut self.buffer);
        if read.map_err(|error| self.source.read_error(self.number, error))? == 0 {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(self.line()))
    }

    /// The next line that is not blank.
    pub(crate) fn next_row(&mut self) -> Result<Option<&[u8]>, ReadError> {
        // Asked about first and borrowed after: a borrow cannot leave a loop in one branch and go on in the other.
        while self.next_line()?.is_some() {
            if !self.line().is_empty() {
                return Ok(Some(self.line()));
            }
        }
        Ok(None)
    }

    /// The line read last.
    fn line(&self) -> &[u8] {
        let line = self.buffer.trim_ascii_end();
        if self.number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line }
    }

    /// Calls `row` with every line that is not blank, and puts the place to what it complains of.
    pub(crate) fn each_row(
        mut self,
        expected: &'static str,
        mut row: impl FnMut(&[u8], u64) -> Result<(), Problem>,
    ) -> Result<(), ReadError> {
        let mut any = false;
        loop {
            if self.next_row()?.is_none() {
                break;
            }
            any = true;
            if let Err(problem) = row(self.line(), self.number) {
                return Err(self.error(problem));
            }
        }
        if any { Ok(()) } else { Err(ReadError::Empty { path: self.source.label(), expected }) }
    }

    /// What errors call the file.
    pub(crate) fn label(&self) -> PathBuf {
        self.source.label()
    }

    pub(crate) fn error(&self, problem: Problem) -> ReadError {
        problem.at(&self.source.label(), self.number)
    }
}

/// Text in UTF-8 where it is such, else in Latin-1, which older files are written in.
pub(crate) fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}
