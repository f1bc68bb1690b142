//! Tables in the form that both a terminal and the document show.

use super::standing::Standing;

/// A table with a head.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// What a race is counted in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unit {
    /// MB/s, CPU seconds for a GiB.
    Bytes,
    /// Files/s, CPU milliseconds for a file.
    Files,
}

impl Table {
    pub(super) fn new(heads: &[&str]) -> Self {
        Self { heads: heads.iter().map(|&head| head.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; cells that are not given are empty.
    pub(super) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.heads.len(), String::new());
        self.rows.push(row);
    }

    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<_> = cells.iter().map(|cell| format!(" {cell} ")).collect();
            format!("|{}|\n", cells.join("|").replace("  ", " "))
        };
        let rule = format!("|{}\n", "---|".repeat(self.heads.len()));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{rule}{rows}", line(&self.heads))
    }

    /// The standings of a race beside the contender called `own`, the product.
    pub(super) fn of_race(standings: &[Standing], own: &Standing, unit: Unit) -> Self {
        let name = own.name;
        let (speed, cost) = match unit {
            Unit::Bytes => ("MB/s", "CPU s/GiB, both sides"),
            Unit::Files => ("files/s", "CPU ms/file, both sides"),
        };
        let (faster, cpu) = (format!("{name} is faster by"), format!("CPU of {name} is"));
        let mut table = Self::new(&["", speed, cost, "peak MiB, client / server", &faster, &cpu]);
        for standing in standings {
            table.row(cells(standing, own, unit));
        }
        table
    }
}

fn cells(standing: &Standing, own: &Standing, unit: Unit) -> Vec<String> {
    let name = standing.name.to_owned();
    if let Some(reason) = standing.missing() {
        return vec![name, reason];
    }
    let (speed, cost) = match unit {
        Unit::Bytes => {
            let (client, server) = standing.cpu_of_sides_per_gib();
            let cost = format!(
                "{:.2} ({:.2} + {:.2})",
                standing.cpu_per_gib(),
                client.median,
                server.median
            );
            (format!("{:.0}", standing.megabytes_per_second()), cost)
        }
        Unit::Files => {
            let speed = format!("{:.0}", standing.files_per_second());
            (speed, format!("{:.2}", standing.cpu_ms_per_file()))
        }
    };
    let (client, server) = standing.peaks_mib();
    let memory = format!("{client:.0} / {server:.0}");
    if standing.name == own.name {
        return vec![name, speed, cost, memory, "1".into(), "1".into()];
    }
    let times = |ratio: Result<_, String>| ratio.map(|ratio| format!("{ratio:.2} x"));
    let faster = times(own.speed_ratio(standing)).unwrap_or_else(|reason| reason);
    let cpu = times(own.cpu_ratio(standing)).unwrap_or_default();
    vec![name, speed, cost, memory, faster, cpu]
}

#[cfg(test)]
mod tests {
    use super::super::contender::Absence;
    use super::super::standing::tests::standing;
    use super::*;

    #[test]
    fn a_race_is_a_line_a_contender_and_an_absent_one_says_why() {
        let own = standing("spray", &[1.0, 2.0]);
        let absence = Absence { name: "qcp", reason: "qcp is not installed".into() };
        let all = [own.clone(), standing("scp", &[2.0, 4.0]), Standing::absent(absence)];

        let table = Table::of_race(&all, &own, Unit::Bytes).markdown();

        assert_eq!(
            table,
            "| | MB/s | CPU s/GiB, both sides | peak MiB, client / server | spray is faster by | \
             CPU of spray is |\n|---|---|---|---|---|---|\n\
             | spray | 805 [537-1074] | 3.00 [2.00-4.00] (1.50 + 1.50) | 3 / 5 | 1 | 1 |\n\
             | scp | 403 [268-537] | 6.00 [4.00-8.00] (3.00 + 3.00) | 3 / 5 | 2.00 x | 0.50 x |\n\
             | qcp | absent: qcp is not installed | | | | |\n"
        );
    }

    #[test]
    fn small_files_are_counted_by_file() {
        let own = standing("push", &[0.5]);

        let table = Table::of_race(std::slice::from_ref(&own), &own, Unit::Files).markdown();

        assert!(table.contains("| push | 2 | 1000.00 | 3 / 5 | 1 | 1 |"), "{table}");
    }
}
