//! The time of the host in the forms that signed requests carry.

use skyspray_link::seam::{Clock as _, SystemClock};
use std::time::SystemTime;

/// A moment in UTC, to the second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    seconds: u64,
}

impl Stamp {
    pub(super) fn now() -> Self {
        let since = SystemClock.now().duration_since(SystemTime::UNIX_EPOCH);
        Self { seconds: since.expect("the clock is past 1970").as_secs() }
    }

    /// `20130524`.
    pub(super) fn amz_date(self) -> String {
        let (year, month, day) = self.date();
        format!("{year:04}{month:02}{day:02}")
    }

    /// `20130524T000000Z`.
    pub(super) fn amz_time(self) -> String {
        let (hour, minute, second) = self.time();
        format!("{}T{hour:02}{minute:02}{second:02}Z", self.amz_date())
    }

    /// `Fri, 24 May 2013 00:00:00 GMT`.
    pub(super) fn http_date(self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (year, month, day) = self.date();
        let (hour, minute, second) = self.time();
        let week_day = DAYS[(self.seconds / 86400 % 7) as usize];
        let month = MONTHS[month as usize - 1];
        format!("{week_day}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }

    fn time(self) -> (u64, u64, u64) {
        (self.seconds / 3600 % 24, self.seconds / 60 % 60, self.seconds % 60)
    }

    fn date(self) -> (u64, u64, u64) {
        let mut days = self.seconds / 86400;
        let mut year = 1970;
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        while days >= 365 + u64::from(leap(year)) {
            days -= 365 + u64::from(leap(year));
            year += 1;
        }
        let february = 28 + u64::from(leap(year));
        let mut month = 1;
        for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        (year, month, days + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_signatures_want_them() {
        let stamp = Stamp { seconds: 1_369_353_600 };
        assert_eq!(stamp.amz_time(), "20130524T000000Z");
        assert_eq!(stamp.http_date(), "Fri, 24 May 2013 00:00:00 GMT");
        let leap = Stamp { seconds: 1_709_251_199 };
        assert_eq!(leap.http_date(), "Thu, 29 Feb 2024 23:59:59 GMT");
        assert_eq!(Stamp { seconds: leap.seconds + 1 }.amz_date(), "20240301");
    }
}
