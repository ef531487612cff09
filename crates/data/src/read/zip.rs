//! One member of a zip archive, as a stream. The archive's directory is read by the crate `zip`; its own readers borrow the
//! archive, so the member is unpacked (stored or deflated) and checked here, by a reader that owns the file.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

const BUFFER: usize = 1 << 18;

/// The unpacked bytes of a member, found by its full name, or by its file name where only one member has it.
///
/// Reading ends with an error where length or CRC-32 are not those of the directory; not a byte more than its length is given out.
pub(super) fn open_member(file: impl Read + Seek + 'static, member: &str) -> io::Result<Box<dyn Read>> {
    let mut archive = ZipArchive::new(BufReader::with_capacity(BUFFER, file)).map_err(refused)?;
    if archive.has_duplicate_names() {
        return Err(bad("two members of the archive have the same name".to_owned()));
    }
    let names: Vec<String> = archive.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let Some(at) = find(&names, member) else {
        let some: Vec<&str> = names.iter().map(String::as_str).take(20).collect();
        return Err(bad(format!("the archive has no member {member}; it has {}", some.join(", "))));
    };

    let entry = archive.by_index_raw(at).map_err(refused)?;
    let (method, packed_size) = (entry.compression(), entry.compressed_size());
    let (crc, size, start) = (entry.crc32(), entry.size(), entry.data_start());
    if entry.encrypted() {
        return Err(bad(format!("member {} is encrypted; unpack the archive", names[at])));
    }
    let start = start.ok_or_else(|| bad(format!("member {} has no place in the archive", names[at])))?;
    drop(entry);
    let mut file = archive.into_inner();
    file.seek(SeekFrom::Start(start))?;
    let packed = file.take(packed_size);
    let content: Box<dyn Read> = if method == CompressionMethod::Stored {
        Box::new(packed)
    } else if method == CompressionMethod::DEFLATE {
        Box::new(DeflateDecoder::new(packed))
    } else {
        return Err(bad(format!("compression method {method} is not supported; unpack the archive")));
    };
    Ok(Box::new(Checked { content, crc: Crc::new(), expected: crc, received: 0, size }))
}

fn find(names: &[String], member: &str) -> Option<usize> {
    names.iter().position(|name| name == member).or_else(|| {
        let file_name = |name: &str| name.rsplit('/').next().map(str::to_owned);
        let wanted = file_name(member);
        let mut same = names.iter().enumerate().filter(|(_, name)| file_name(name) == wanted);
        same.next().filter(|_| same.next().is_none()).map(|(at, _)| at)
    })
}

/// Compares length and CRC-32 when the content ends, and stops a content that is longer than it says (an archive made to
/// fill the memory of who unpacks it).
struct Checked {
    content: Box<dyn Read>,
    crc: Crc,
    expected: u32,
    received: u64,
    size: u64,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.content.read(buffer)?;
        self.crc.update(&buffer[..n]);
        self.received += n as u64;
        if self.received > self.size {
            return Err(bad(format!("the member has more than the {} bytes that the archive says", self.size)));
        }
        if n == 0 && !buffer.is_empty() && (self.crc.sum() != self.expected || self.received != self.size) {
            return Err(bad(format!(
                "the member has {} bytes with checksum {:08x}, expected {} with {:08x}",
                self.received,
                self.crc.sum(),
                self.size,
                self.expected
            )));
        }
        Ok(n)
    }
}

/// What the directory's reader complains of. An archive that ends early is damaged too, and no fault of the disk's.
fn refused(error: ZipError) -> io::Error {
    let problem = error.to_string();
    if let ZipError::Io(error) = error { error } else { bad(problem) }
}

fn bad(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// An archive with these members, for tests: alternately deflated and stored.
#[cfg(test)]
pub(crate) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write;
    const LOCAL: &[u8] = b"PK\x03\x04";
    const ENTRY: &[u8] = b"PK\x01\x02";
    const END: &[u8] = b"PK\x05\x06";
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
    let n = (members.len() as u16).to_le_bytes();
    bytes.extend(&directory);
    bytes.extend(
        [END, &[0; 4], &n, &n, &(directory.len() as u32).to_le_bytes(), &start.to_le_bytes(), &[0, 0]].concat(),
    );
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn read(bytes: &[u8], member: &str) -> Result<String, String> {
        let mut text = String::new();
        let mut reader = open_member(Cursor::new(bytes.to_vec()), member).map_err(|error| error.to_string())?;
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
    fn an_archive_that_ends_early_is_damaged() {
        let bytes = archive(&[("x", &[7; 100]), ("y", b"plain text")]);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length], "y").is_err(), "cut to {length}");
        }
    }

    #[test]
    fn no_flipped_bit_passes_for_content() {
        let bytes = archive(&[("x", b"deflated, deflated, deflated"), ("y", b"plain text")]);
        for (member, content) in [("x", "deflated, deflated, deflated"), ("y", "plain text")] {
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                // Bits that say nothing of the content (dates, the other member) may be anything.
                let got = read(&flipped, member);
                assert!(got.as_deref().unwrap_or(content) == content, "bit {bit}: {got:?}");
            }
        }
        let at = bytes.windows(5).position(|w| w == b"plain").unwrap();
        let mut flipped = bytes;
        flipped[at] ^= 1;
        assert!(read(&flipped, "y").unwrap_err().contains("checksum"));
    }

    #[test]
    fn two_members_of_one_name_are_none() {
        let bytes = archive(&[("x", b"one"), ("x", b"other")]);
        assert!(read(&bytes, "x").unwrap_err().contains("the same name"));
    }

    #[test]
    fn a_member_longer_than_it_says_is_stopped_there() {
        let mut bytes = archive(&[("x", &[0; 1 << 20])]);
        let (claimed, real) = (100u32.to_le_bytes(), (1u32 << 20).to_le_bytes());
        while let Some(at) = bytes.windows(4).position(|w| w == real) {
            bytes[at..at + 4].copy_from_slice(&claimed);
        }
        assert!(read(&bytes, "x").unwrap_err().contains("more than the 100 bytes that the archive says"));
    }

    #[test]
    fn what_cannot_be_unpacked_is_named() {
        let bytes = archive(&[("x", b"deflated")]);
        let with = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            let entry = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
            for start in [2, entry + 4] {
                bytes[start + at] = byte;
            }
            read(&bytes, "x").unwrap_err()
        };
        assert!(with(4, 1).contains("member x is encrypted"), "{}", with(4, 1));
        assert!(with(6, 93).contains("compression method"), "{}", with(6, 93));
    }
}
