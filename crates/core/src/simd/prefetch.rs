//! Memory asked for before it is read.

/// Bytes of a cache line.
const LINE: usize = 64;
/// Lines asked for at most: 4 KiB.
const MOST: usize = 64;

/// Asks for the cache lines of `values[start..start + len]` (as many as 4 KiB hold) without waiting for them; nothing where that is out of
/// range.
#[inline(always)]
pub fn prefetch<T>(values: &[T], start: usize, len: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(wanted) = values.get(start..start + len) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let (first, bytes) = (wanted.as_ptr().cast::<i8>(), size_of_val(wanted));
        let ask = |at: usize| {
            debug_assert!(at < bytes);
            #[expect(unsafe_code, reason = "prefetch has no safe form")]
            // SAFETY: `at` is inside of `wanted`, and a prefetch never faults.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(first.add(at));
            }
        };
        let mut at = 0;
        while at < bytes.min(MOST * LINE) {
            ask(at);
            at += LINE;
        }
        // A row that starts inside a cache line ends in one more.
        if bytes > 0 {
            ask(bytes - 1);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, start, len);
}
