//! One member of a zip archive, as a stream. Data sets come as plain archives (stored or deflated, below 4 GiB); that much
//! of the format (PKWARE APPNOTE 6.3, sections 4.3.7 to 4.3.16) is read here.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
/// Length of the end record, without the comment behind it.
const END_LENGTH: usize = 22;

/// The unpacked bytes of a member, found by its full name, or by its file name where only one member has it.
pub(super) fn open_member(mut file: File, member: &str) -> io::Result<Box<dyn Read>> {
    let directory = read_directory(&mut file)?;
    let entries = parse_directory(&directory)?;
    let by_file_name = |entry: &&Entry| entry.name.rsplit('/').next() == member.rsplit('/').next();
    let entry = entries.iter().find(|entry| entry.name == member).or_else(|| {
        let mut same = entries.iter().filter(by_file_name);
        same.next().filter(|_| same.next().is_none())
    });
    let Some(entry) = entry else {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).take(20).collect();
        return Err(bad(format!("the archive has no member {member}; it has {}", names.join(", "))));
    };

    file.seek(SeekFrom::Start(entry.offset.into()))?;
    let mut local = [0; 30];
    file.read_exact(&mut local)?;
    if !local.starts_with(LOCAL) {
        return Err(bad(format!("member {} does not start where the archive says", entry.name)));
    }
    file.seek(SeekFrom::Current(i64::from(u16_at(&local, 26)) + i64::from(u16_at(&local, 28))))?;
    let packed = BufReader::with_capacity(1 << 18, file).take(entry.packed_size.into());
    let content: Box<dyn Read> = match entry.method {
        0 => Box::new(packed),
        8 => Box::new(DeflateDecoder::new(packed)),
        other => return Err(bad(format!("compression method {other} is not supported; unpack the archive"))),
    };
    Ok(Box::new(Checked { content, crc: Crc::new(), expected: entry.crc, size: entry.size }))
}

struct Entry {
    name: String,
    method: u16,
    crc: u32,
    packed_size: u32,
    size: u32,
    offset: u32,
}

/// The bytes of the central directory, which the record at the end of the file points to.
fn read_directory(file: &mut File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let tail_length = length.min(END_LENGTH as u64 + u64::from(u16::MAX));
    let mut tail = vec![0; tail_length as usize];
    file.seek(SeekFrom::Start(length - tail_length))?;
    file.read_exact(&mut tail)?;
    let end = tail
        .windows(END_LENGTH)
        .rposition(|window| window.starts_with(END))
        .ok_or_else(|| bad("the end of the zip archive is missing (truncated?)".to_owned()))?;
    let (size, start) = (u32_at(&tail, end + 12), u32_at(&tail, end + 16));
    if start == u32::MAX || u64::from(start) + u64::from(size) > length {
        return Err(bad("the zip directory lies beyond the file (zip64 archives must be unpacked first)".to_owned()));
    }
    let mut directory = vec![0; size as usize];
    file.seek(SeekFrom::Start(start.into()))?;
    file.read_exact(&mut directory)?;
    Ok(directory)
}

fn parse_directory(mut rest: &[u8]) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    while rest.len() >= 46 && rest.starts_with(ENTRY) {
        let name_length = usize::from(u16_at(rest, 28));
        let length = 46 + name_length + usize::from(u16_at(rest, 30)) + usize::from(u16_at(rest, 32));
        if length > rest.len() {
            return Err(bad("the zip directory ends inside an entry".to_owned()));
        }
        entries.push(Entry {
            name: String::from_utf8_lossy(&rest[46..46 + name_length]).into_owned(),
            method: u16_at(rest, 10),
            crc: u32_at(rest, 16),
            packed_size: u32_at(rest, 20),
            size: u32_at(rest, 24),
            offset: u32_at(rest, 42),
        });
        rest = &rest[length..];
    }
    Ok(entries)
}

/// Compares length and CRC-32 when the content ends.
struct Checked {
    content: Box<dyn Read>,
    crc: Crc,
    expected: u32,
    size: u32,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.content.read(buffer)?;
        self.crc.update(&buffer[..n]);
        if n == 0 && !buffer.is_empty() && (self.crc.sum() != self.expected || self.crc.amount() != self.size) {
            return Err(bad(format!(
                "the member has {} bytes with checksum {:08x}, expected {} with {:08x}",
                self.crc.amount(),
                self.crc.sum(),
                self.size,
                self.expected
            )));
        }
        Ok(n)
    }
}

fn bad(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

/// An archive with these members, for tests: alternately deflated and stored.
#[cfg(test)]
pub(crate) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write;
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (at, (name, content)) in members.iter().enumerate() {
        let deflated = at % 2 == 0;
        let packed = if deflated {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        } else {
            content.to_vec()
        };
        let mut crc = Crc::new();
        crc.update(content);
        let mut common = vec![20, 0, 0, 0, if deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
        for number in [crc.sum(), packed.len() as u32, content.len() as u32] {
            common.extend(number.to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());
        let offset = bytes.len() as u32;
        bytes.extend([LOCAL, &common, &[0, 0], name.as_bytes(), &packed].concat());
        directory.extend([ENTRY, &[20, 0], &common, &[0; 12], &offset.to_le_bytes(), name.as_bytes()].concat());
    }
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend([END, &[0; 8], &(directory.len() as u32).to_le_bytes(), &start.to_le_bytes(), &[0, 0]].concat());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], member: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        std::fs::write(&path, bytes).unwrap();
        let mut text = String::new();
        let mut reader = open_member(File::open(&path).unwrap(), member).map_err(|error| error.to_string())?;
        reader.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok(text)
    }

    #[test]
    fn members_are_read_by_full_name_or_unique_file_name() {
        let bytes = archive(&[("a/r.dat", b"first first first"), ("a/m.dat", b"second"), ("b/m.dat", b"third")]);
        assert_eq!(read(&bytes, "a/r.dat").as_deref(), Ok("first first first"));
        assert_eq!(read(&bytes, "a/m.dat").as_deref(), Ok("second"));
        assert_eq!(read(&bytes, "elsewhere/r.dat").as_deref(), Ok("first first first"));
        assert!(read(&bytes, "m.dat").unwrap_err().contains("it has a/r.dat, a/m.dat"), "two candidates are none");
    }

    #[test]
    fn damage_is_found_wherever_it_is() {
        let bytes = archive(&[("x", &[7; 100]), ("y", b"plain text")]);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length], "y").is_err(), "cut to {length}");
        }
        let at = bytes.windows(5).position(|w| w == b"plain").unwrap();
        let mut flipped = bytes;
        flipped[at] ^= 1;
        assert!(read(&flipped, "y").unwrap_err().contains("checksum"));
    }
}
