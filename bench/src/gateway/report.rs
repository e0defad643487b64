//! Medians of the rounds, as a table for people and one JSON line a scenario for programs.

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::{
    scenarios::{Figure, Scenario},
    servers::Server,
};

/// All rounds of one server in one scenario.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) server: Server,
    pub(super) rounds: Vec<Vec<Figure>>,
    /// Why there are no further rounds.
    pub(super) failure: Option<String>,
}

impl Row {
    pub(super) fn new(server: Server) -> Self {
        Self { server, rounds: Vec::new(), failure: None }
    }

    /// In the order of the first round.
    fn medians(&self) -> Vec<Figure> {
        let names = self.rounds.first().into_iter().flatten().map(|(name, _)| *name);
        names.map(|name| (name, self.median(name).unwrap_or(f64::NAN))).collect()
    }

    fn median(&self, name: &str) -> Option<f64> {
        let figures = self.rounds.iter().flatten().filter(|(other, _)| *other == name);
        let mut values: Vec<f64> = figures.map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

pub(super) fn print(scenario: Scenario, rows: &[Row]) {
    let mut columns: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flat_map(Row::medians) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    println!("\n{}", scenario.title());
    print!("{:<18}", "");
    for column in &columns {
        print!("{column:>16}");
    }
    println!();
    for row in rows {
        print!("{:<18}", row.server.name());
        for column in &columns {
            match row.median(column) {
                Some(value) => print!("{value:>16.*}", if value < 20.0 { 2 } else { 0 }),
                None => print!("{:>16}", "-"),
            }
        }
        println!();
    }
    println!("{}", json(scenario, rows));
}

/// Every figure, and each as a ratio to that of the two limits.
fn json(scenario: Scenario, rows: &[Row]) -> Value {
    let of = |server: Server| rows.iter().find(|row| row.server == server);
    let mut servers = Map::new();
    for row in rows {
        let figures = row.medians();
        let mut entry = Map::new();
        entry.insert("rounds".into(), row.rounds.len().into());
        entry.insert("figures".into(), object(&figures));
        for (limit, name) in [(Server::Limit, "to_limit"), (Server::LimitBatched, "to_limit_batched")] {
            let Some(limit) = of(limit) else { continue };
            let ratios = figures.iter().filter_map(|(name, value)| Some((*name, value / limit.median(name)?)));
            let ratios: Vec<Figure> = ratios.filter(|(_, ratio)| ratio.is_finite()).collect();
            entry.insert(name.into(), object(&ratios));
        }
        if let Some(failure) = &row.failure {
            entry.insert("failure".into(), failure.as_str().into());
        }
        servers.insert(option(&row.server), entry.into());
    }
    json!({"bench": "gateway", "scenario": option(&scenario), "servers": servers})
}

/// The name that a value has on the command line.
fn option(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The columns' names with underscores; three decimals.
fn object(figures: &[Figure]) -> Value {
    let rounded = |value: f64| json!((value * 1000.0).round() / 1000.0);
    let entries = figures.iter().map(|(name, value)| (name.replace([' ', '/'], "_"), rounded(*value)));
    Value::Object(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        let row = |server, values: [f64; 3]| Row {
            rounds: values.into_iter().map(|value| vec![("max k/s", value)]).collect(),
            ..Row::new(server)
        };
        let rows = [row(Server::Limit, [10.0, 30.0, 20.0]), row(Server::Gateway, [60.0, 1.0, 30.0])];
        let json = json(Scenario::Rooms, &rows);
        assert_eq!(json["servers"]["gateway"]["figures"]["max_k_s"], 30.0);
        assert_eq!(json["servers"]["gateway"]["to_limit"]["max_k_s"], 1.5);
    }
}
