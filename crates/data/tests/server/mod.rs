//! A web server for tests of downloads, which misbehaves on demand.

#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "a test helper")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

/// How the server treats a request.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    Proper,
    /// Announces everything, sends so many bytes, and hangs up.
    BreaksOff(usize),
    IgnoresRanges,
    NotFound,
}

/// A server that lives as long as the test.
pub(crate) struct Server {
    pub(crate) address: String,
    /// `Range` headers seen, empty for none.
    pub(crate) ranges: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves `content`, the first request in the first manner, and so on; the last manner stays.
    pub(crate) fn new(content: Vec<u8>, manners: Vec<Manner>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ranges);
        std::thread::spawn(move || {
            for (n, stream) in listener.incoming().enumerate() {
                let manner = manners[n.min(manners.len() - 1)];
                // A client that hangs up early is no error of the server's.
                let _ = serve(stream.unwrap(), &content, manner, &seen);
            }
        });
        Self { address, ranges }
    }
}

fn serve(mut stream: TcpStream, content: &[u8], manner: Manner, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut range = String::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("range: ") {
            range = value.to_owned();
        }
    }
    seen.lock().unwrap().push(range.clone());
    let start: usize = range.strip_prefix("bytes=").map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
    let start = if matches!(manner, Manner::IgnoresRanges) { 0 } else { start };
    if matches!(manner, Manner::NotFound) {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let all = content.len();
    if start >= all {
        let head = format!(
            "HTTP/1.1 416 No\r\nContent-Range: bytes */{all}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        return stream.write_all(head.as_bytes());
    }
    let status = if start > 0 {
        format!("206 Partial Content\r\nContent-Range: bytes {start}-{}/{all}", all - 1)
    } else {
        "200 OK".to_owned()
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", all - start)?;
    let end = if let Manner::BreaksOff(bytes) = manner { (start + bytes).min(all) } else { all };
    stream.write_all(&content[start..end])
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
