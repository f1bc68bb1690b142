//! HPCC-style job ids: `DYYYYMMDD-HHMMSS-n`, in UTC.

/// The id of the `number`th job of a catalogue, opened at `now_ms`.
///
/// Unique because the number is. Times before 1970 show as its first second, times after 9999 with
/// more digits.
pub(super) fn wuid(number: u64, now_ms: i64) -> String {
    let seconds = now_ms.max(0) / 1000;
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("D{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}-{number}")
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
///
/// Counts from 0000-03-01, so that the leap day ends a year, in eras of 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_shows_the_time_in_utc_and_the_number() {
        assert_eq!(wuid(1, 0), "D19700101-000000-1");
        assert_eq!(wuid(42, 1_709_210_096_789), "D20240229-123456-42");
        assert_eq!(wuid(7, 951_868_799_000), "D20000229-235959-7");
        assert_eq!(wuid(7, 4_102_444_800_000), "D21000101-000000-7");
        assert_eq!(wuid(7, -5), "D19700101-000000-7");
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = |year, month| match month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + i64::from(leap(year)),
            _ => 31,
        };
        let mut expected = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(civil(days), expected, "{days} days after 1970-01-01");
            let (year, month, day) = expected;
            expected = if day < length(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
        }
    }
}
