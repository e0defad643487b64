//! What a person and a program read of a run: a table, and one line. Pure.

use serde_json::{Map, Value, json};

use super::fleet::Tally;
use crate::images::Image;

/// How one scenario went.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: &'static str,
    pub tally: Tally,
    pub figures: Vec<(&'static str, f64)>,
    /// Why it did not get to where it should.
    pub failure: Option<String>,
    /// From its begin to the end of its check.
    pub seconds: f64,
}

/// A whole run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Of the installation: a name and a value.
    pub figures: Vec<(&'static str, f64)>,
    pub images: Vec<Image>,
    pub rows: Vec<Row>,
    /// What went wrong beside the scenarios.
    pub failures: Vec<String>,
}

impl Report {
    pub fn is_good(&self) -> bool {
        let fine = |row: &Row| row.failure.is_none() && row.tally.broken.is_empty();
        self.failures.is_empty() && self.rows.iter().all(fine)
    }

    /// All chapters as one.
    fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        for row in &self.rows {
            sum.add(&row.tally);
        }
        sum
    }

    /// For a person.
    pub fn table(&self) -> String {
        let mut lines = Vec::new();
        for (name, value) in &self.figures {
            lines.push(format!("{name:<32} {value:>8.1}"));
        }
        for image in &self.images {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            let (name, size) = (image.service.name(), megabytes(image.unpacked));
            lines.push(format!("image {name:<26} {size:>8.1} MB"));
        }
        lines.push(String::new());
        let head = [
            "scenario",
            "s",
            "acked",
            "delivered",
            "lost",
            "rep.",
            "reord.",
            "closed",
            "resum.",
            "p50 ms",
            "p99 ms",
            "slowest",
        ];
        lines.push(line(&head.map(str::to_owned), "figures"));
        for row in &self.rows {
            let figures: Vec<_> = row.figures.iter().map(|(name, value)| format!("{name}: {value:.1}")).collect();
            lines.push(line(&cells(row.name, row.seconds, &row.tally), &figures.join("  ")));
        }
        let seconds = self.rows.iter().map(|row| row.seconds).sum();
        lines.push(line(&cells("all", seconds, &self.sum()), ""));
        let failed = self.rows.iter().filter_map(|row| Some(format!("{}: {}", row.name, row.failure.as_ref()?)));
        let broken = self
            .rows
            .iter()
            .flat_map(|row| row.tally.broken.iter().take(5).map(|what| format!("{}: {what}", row.name)));
        let wrong: Vec<_> = failed.chain(broken).chain(self.failures.iter().cloned()).collect();
        if !wrong.is_empty() {
            lines.push(String::new());
            lines.extend(wrong);
        }
        lines.join("\n")
    }

    /// For a program: one line of JSON.
    pub fn line(&self) -> String {
        let sum = self.sum();
        let mut more = Map::new();
        let mut put = |name: &str, value: Value| drop(more.insert(name.to_owned(), value));
        put("broken", json!(sum.broken.len()));
        put("failed", json!(self.rows.iter().filter(|row| row.failure.is_some()).count() + self.failures.len()));
        put("scenarios", json!(self.rows.len()));
        put("reconnects", json!(sum.reconnects.len()));
        put("reconnect_p50_ms", json!(sum.reconnect(0.5)));
        put("reconnect_p99_ms", json!(sum.reconnect(0.99)));
        put("slowest_delivery_ms", json!(sum.slowest));
        for row in self.rows.iter().filter(|row| row.name == "gateways") {
            put("scale_down_closed", json!(row.tally.closed));
            put("scale_down_closed_resumable", json!(row.tally.closed_resumable));
        }
        let figures = self.figures.iter().chain(self.rows.iter().flat_map(|row| &row.figures));
        for (name, value) in figures {
            put(&key(name), json!((value * 10.0).round() / 10.0));
        }
        for image in &self.images {
            put(&key(&format!("image {} bytes", image.service.name())), json!(image.unpacked));
        }
        let Tally { lost, repeated, reordered, delivered, acknowledged, .. } = sum;
        let line = Line { lost, repeated, reordered, delivered, acknowledged, more };
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// The most important first.
#[derive(serde::Serialize)]
struct Line {
    lost: usize,
    repeated: usize,
    reordered: usize,
    delivered: usize,
    acknowledged: usize,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// `2 -> 4 ready, s` is `2_4_ready_s`.
fn key(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("_")
}

fn cells(name: &str, seconds: f64, tally: &Tally) -> [String; 12] {
    let ms = |quantile| tally.reconnect(quantile).map_or_else(|| "-".to_owned(), |ms| ms.to_string());
    [
        name.to_owned(),
        format!("{seconds:.0}"),
        tally.acknowledged.to_string(),
        tally.delivered.to_string(),
        tally.lost.to_string(),
        tally.repeated.to_string(),
        tally.reordered.to_string(),
        tally.closed.to_string(),
        tally.closed_resumable.to_string(),
        ms(0.5),
        ms(0.99),
        tally.slowest.to_string(),
    ]
}

fn line(cells: &[String; 12], last: &str) -> String {
    let [name, rest @ ..] = cells;
    let widths = [5, 7, 10, 5, 5, 7, 7, 7, 7, 7, 8];
    let rest: Vec<_> = rest.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
    format!("{name:<12} {}  {last}", rest.join(" ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_begins_with_what_others_read() {
        let tally = Tally { acknowledged: 3, delivered: 60, reconnects: vec![10, 20], ..Tally::default() };
        let figures = vec![("2 -> 4 ready, s", 7.25)];
        let row = Row { name: "gateways", tally, figures, failure: None, seconds: 9.0 };
        let report = Report { rows: vec![row.clone(), row], ..Report::default() };
        let line = report.line();
        let expected = r#"{"lost":0,"repeated":0,"reordered":0,"delivered":120,"acknowledged":6,"#;
        assert!(line.starts_with(expected), "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["2_4_ready_s"], 7.3);
        assert!(report.is_good());
        assert!(report.table().contains("gateways"));
    }

    #[test]
    fn a_failure_and_a_broken_promise_are_told() {
        let tally = Tally { broken: vec!["I1: gone".to_owned()], lost: 1, ..Tally::default() };
        let row = Row { name: "pods", tally, figures: Vec::new(), failure: Some("no pods".to_owned()), seconds: 1.0 };
        let report = Report { rows: vec![row], ..Report::default() };
        assert!(!report.is_good());
        assert!(report.table().contains("pods: I1: gone") && report.table().contains("pods: no pods"));
    }
}
