//! The page: verdict, figures, the timeline as a drawing, and what was found.

use std::fmt::Write;

use super::super::check::Findings;
use super::super::history::History;
use super::{Report, Second};

const WIDTH: f64 = 1100.0;
const LEFT: f64 = 60.0;
const LANE: f64 = 14.0;
const CHART: f64 = 110.0;
/// Findings shown of each invariant.
const SHOWN: usize = 20;

/// `title` says how the run was made, e.g. its seed.
pub fn page(title: &str, report: &Report, history: &History, findings: &Findings) -> String {
    let verdict = if findings.is_empty() { "every promise was kept" } else { "promises were broken" };
    let mut html = format!(
        "<!doctype html><meta charset=utf-8><title>Torture: {0}</title>\n<style>\
         body{{font:14px/1.45 system-ui,sans-serif;margin:24px;color:#223}}\
         table{{border-collapse:collapse}}td,th{{padding:2px 14px 2px 0;text-align:right;font-variant-numeric:tabular-nums}}\
         svg{{background:#fafbfd;border:1px solid #dde}}.bad{{color:#b00020}}</style>\n\
         <h1>Torture: {0}</h1><p{1}>{verdict}</p>\n",
        escape(title),
        if findings.is_empty() { "" } else { " class=bad" }
    );
    figures(&mut html, report);
    drawing(&mut html, &report.seconds, history);
    if !findings.is_empty() {
        list(&mut html, findings);
    }
    html
}

fn figures(html: &mut String, report: &Report) {
    let line = report.figures.line();
    let cells = line.trim_matches(['{', '}']).split(',').filter_map(|pair| pair.split_once(':'));
    let (mut names, mut values) = (String::new(), String::new());
    for (name, value) in cells {
        let _ = write!(names, "<th>{}</th>", name.trim_matches('"').replace('_', " "));
        let _ = write!(values, "<td>{value}</td>");
    }
    let _ = writeln!(html, "<table><tr>{names}</tr><tr>{values}</tr></table>");
}

fn drawing(html: &mut String, seconds: &[Second], history: &History) {
    let end = seconds.len().max(1) as f64;
    let x = |ms: u64| LEFT + (ms as f64 / 1000.0) / end * (WIDTH - LEFT - 20.0);
    let lanes = history.faults.len().max(1) as f64 * LANE;
    let height = lanes + 3.0 * (CHART + 34.0) + 40.0;
    let _ = writeln!(html, "<svg viewBox='0 0 {WIDTH} {height}' width=100% font-size=11>");
    for (lane, fault) in history.faults.iter().enumerate() {
        let (from, to, y) = (x(fault.at), x(fault.healed), 10.0 + lane as f64 * LANE);
        let wide = (to - from).max(2.0);
        let _ = writeln!(
            html,
            "<rect x={from:.1} y=0 width={wide:.1} height={height} fill=#d33 opacity=.07 />\
             <rect x={from:.1} y={y:.1} width={wide:.1} height={:.1} fill=#d33 />\
             <text x={:.1} y={:.1}>{}</text>",
            LANE - 4.0,
            to + 4.0,
            y + 9.0,
            escape(&fault.name)
        );
    }
    let top = lanes + 34.0;
    let charts: [(&str, Vec<Option<f64>>); 3] = [
        ("acknowledged sends a second", seconds.iter().map(|second| Some(second.acks as f64)).collect()),
        ("commit to frame, p99, ms", seconds.iter().map(|second| second.p99_ms.map(|ms| ms as f64)).collect()),
        ("events that sessions wait for", seconds.iter().map(|second| Some(second.unseen as f64)).collect()),
    ];
    for (index, (title, values)) in charts.iter().enumerate() {
        chart(html, title, values, top + index as f64 * (CHART + 34.0), &x);
    }
    for second in (0..seconds.len() as u64).step_by(10) {
        let _ = writeln!(html, "<text x={:.1} y={:.1} fill=#778>{second} s</text>", x(second * 1000), height - 6.0);
    }
    html.push_str("</svg>\n");
}

fn chart(html: &mut String, title: &str, values: &[Option<f64>], top: f64, x: &impl Fn(u64) -> f64) {
    let highest = values.iter().flatten().copied().fold(1.0, f64::max);
    let bottom = top + CHART;
    let mut points = String::new();
    for (second, value) in (0_u64..).zip(values) {
        if let Some(value) = value {
            let _ = write!(points, "{:.1},{:.1} ", x(second * 1000 + 500), bottom - value / highest * CHART);
        }
    }
    let _ = writeln!(
        html,
        "<text x={LEFT} y={:.1} font-weight=600>{title}</text><text x=8 y={:.1} fill=#778>{highest:.0}</text>\
         <text x=8 y={bottom:.1} fill=#778>0</text>\
         <line x1={LEFT} y1={bottom:.1} x2={WIDTH} y2={bottom:.1} stroke=#ccd />\
         <polyline points='{points}' fill=none stroke=#2557c0 stroke-width=1.5 />",
        top - 8.0,
        top + 8.0
    );
}

fn list(html: &mut String, findings: &Findings) {
    for (invariant, count) in findings.by_invariant() {
        let _ = writeln!(html, "<h3>{invariant}: {count}</h3><ul>");
        for finding in findings.all().iter().filter(|finding| finding.invariant == invariant).take(SHOWN) {
            let _ = writeln!(html, "<li>{}</li>", escape(&finding.text));
        }
        html.push_str("</ul>\n");
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::super::check::Case;
    use super::super::super::history::{Happened, History};
    use super::super::super::truth::Truth;
    use super::super::report;
    use super::*;

    #[test]
    fn the_page_shows_the_faults_and_the_figures() {
        let fault = Happened { name: "kill-<core>".into(), gateway: None, at: 3_000, healed: 5_000 };
        let history = History { faults: vec![fault], end: 20_000, ..History::default() };
        let truth = Truth::default();
        let made = report(&Case { history: &history, truth: &truth, within: 1, grace: 1 }, &Findings::default());
        let html = page("seed 7", &made, &history, &Findings::default());
        assert!(html.contains("seed 7") && html.contains("kill-&lt;core&gt;") && html.contains("worst recovery s"));
        assert!(html.contains("every promise was kept") && html.contains("</svg>"));
    }
}
