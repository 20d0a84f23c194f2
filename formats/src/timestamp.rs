//! Points in time: whole seconds since 1970, shown as RFC 3339 in UTC.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::as_text::{read_as_text, written_as_text};

/// A point in time, to the second.
///
/// Always between the years 0000 and 9999, so that it can always be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

/// The point in time cannot be represented.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2026-11-21T04:10:47Z")]
pub struct TimestampError;

impl Timestamp {
    /// 1970-01-01T00:00:00Z, the time of a clock without a battery.
    pub const EPOCH: Timestamp = Timestamp(OffsetDateTime::UNIX_EPOCH);

    /// Converts from seconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// Fails when the year is not in 0..=9999.
    pub fn from_unix(seconds: i64) -> Result<Self, TimestampError> {
        let time = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| TimestampError)?;
        (0..=9999).contains(&time.year()).then_some(Self(time)).ok_or(TimestampError)
    }

    /// Converts to seconds since 1970-01-01T00:00:00Z.
    pub fn unix(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// Whole days from `self` to `other`, rounded towards zero; negative when `other` is
    /// earlier.
    pub fn days_until(self, other: Timestamp) -> i64 {
        (other.unix() - self.unix()) / 86_400
    }

    /// Whole days left until `end`, the last second of a validity: 0 on the last day, and -1 from
    /// the first second after it, so that an expired certificate never shows 0 days.
    pub fn days_left(self, end: Timestamp) -> i64 {
        let days = self.days_until(end);
        if self > end { days.min(-1) } else { days }
    }

    /// Formats the time for a file name: `20261121T041047Z`.
    pub fn compact(self) -> String {
        self.to_string().replace(['-', ':'], "")
    }

    /// Formats the day alone: `2026-11-21`.
    pub fn date(self) -> String {
        self.0.date().to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.0;
        let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
        let (hour, minute, second) = (t.hour(), t.minute(), t.second());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Accepts any RFC 3339 time and drops fractions of a second.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        Self::from_unix(time.unix_timestamp())
    }
}

written_as_text!(Timestamp);
read_as_text!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_and_reads_rfc_3339() {
        let t = Timestamp::from_unix(1_726_805_447).unwrap();
        assert_eq!(t.to_string(), "2024-09-20T04:10:47Z");
        assert_eq!("2024-09-20T04:10:47Z".parse(), Ok(t));
        assert_eq!("2024-09-20T06:10:47.9+02:00".parse(), Ok(t));
        assert_eq!(t.compact(), "20240920T041047Z");
        assert!("2024-09-20".parse::<Timestamp>().is_err());
        assert!(Timestamp::from_unix(i64::MAX).is_err());
    }

    #[test]
    fn only_years_of_four_digits_can_be_shown() {
        let unix = |text: &str| text.parse::<Timestamp>().unwrap().unix();
        let (first, last) = (unix("0000-01-01T00:00:00Z"), unix("9999-12-31T23:59:59Z"));
        for end in [first, last] {
            assert_eq!(Timestamp::from_unix(end).map(Timestamp::unix), Ok(end));
        }
        for beyond in [first - 1, last + 1] {
            assert_eq!(Timestamp::from_unix(beyond), Err(TimestampError));
        }
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_unix(86_399).unwrap().date(), "1970-01-01");
        let read = |json: &str| serde_json::from_str::<Timestamp>(json);
        assert_eq!(read(r#""1970-01-01T00:00:00Z""#).unwrap(), Timestamp::EPOCH);
        assert!(read(r#""1970-01-01""#).is_err());
    }

    #[test]
    fn days_round_towards_zero() {
        let t = |s| Timestamp::from_unix(s).unwrap();
        assert_eq!(t(0).days_until(t(86_399)), 0);
        assert_eq!(t(86_400).days_until(t(86_399)), 0);
        assert_eq!(t(86_400).days_until(t(0)), -1);
    }

    #[test]
    fn the_second_after_the_end_is_a_day_too_late() {
        let left = |now, end| {
            let [now, end] = [now, end].map(|seconds| Timestamp::from_unix(seconds).unwrap());
            now.days_left(end)
        };
        assert_eq!(left(0, 86_399), 0);
        assert_eq!(left(0, 0), 0, "the last second still counts");
        assert_eq!(left(1, 0), -1);
        assert_eq!(left(3600, 0), -1, "an hour after the end");
        assert_eq!(left(3 * 86_400, 0), -3);
    }
}
