//! MIND's log of impressions.

use super::{Problem, ReadError, ReadOptions};
use crate::read::log::EventLog;
use crate::read::source::Lines;

/// `impression⇥user⇥time⇥history⇥news-label news-label …`, label 1 for clicked and 0 for shown only.
///
/// The history column repeats clicks of earlier weeks, without times, in every row of a user: it is not read.
pub(super) fn read_behaviors(lines: Lines, options: &ReadOptions, log: &mut EventLog) -> Result<(), ReadError> {
    const ROW: &str = "impression, user, time, history and impressions with tabs between them";
    lines.each_row(ROW, |line, _| {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b'\t').collect();
        let &[_, user, time, _, impressions] = fields.as_slice() else {
            return Err(Problem::new(format!("{} columns", fields.len()), ROW));
        };
        let time = us_time(time).ok_or_else(|| Problem::quote(time, "a time such as 11/15/2019 8:55:22 AM"))?;
        for impression in super::blanks(impressions) {
            let (news, clicked) = match impression {
                [news @ .., b'-', b'1'] if !news.is_empty() => (news, true),
                [news @ .., b'-', b'0'] if !news.is_empty() => (news, false),
                _ => return Err(Problem::quote(impression, "news-1 (clicked) or news-0 (shown)")),
            };
            if clicked || options.shown_counts {
                log.push(user, news, None, Some(time))?;
            }
        }
        Ok(())
    })
}

/// `month/day/year hour:minute:second AM|PM` in seconds since 1970, as if in UTC.
fn us_time(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (date, clock, half) = (words.next()?, words.next()?, words.next()?);
    let three = |text: &str, mark| -> Option<[i64; 3]> {
        let parts: Option<Vec<i64>> = text.split(mark).map(|part| part.parse().ok()).collect();
        parts?.try_into().ok()
    };
    let [month, day, year] = three(date, '/')?;
    let [hour, minute, second] = three(clock, ':')?;
    let ranges_hold = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (1600..=9999).contains(&year)
        && (1..=12).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    let afternoon = match half {
        "AM" => 0,
        "PM" => 12,
        _ => return None,
    };
    ranges_hold.then(|| days(year, month, day) * 86_400 + (hour % 12 + afternoon) * 3600 + minute * 60 + second)
}

/// Days since 1970-01-01 in the Gregorian calendar: years start in March, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn american_times_become_seconds() {
        // date -u -d '...' +%s
        assert_eq!(us_time(b"11/15/2019 8:55:22 AM"), Some(1_573_808_122));
        assert_eq!(us_time(b"11/15/2019 12:00:00 AM"), Some(1_573_776_000));
        assert_eq!(us_time(b"2/29/2020 12:30:00 PM"), Some(1_582_979_400));
        assert_eq!(us_time(b"1/1/1970 12:00:00 AM"), Some(0));
        for bad in
            ["", "11/15/2019", "13/1/2019 1:00:00 AM", "11/15/2019 0:00:00 AM", "11/15/2019 1:00:00", "a/b/c 1:1:1 AM"]
        {
            assert_eq!(us_time(bad.as_bytes()), None, "{bad}");
        }
    }
}
