//! One configuration story: each setting is a flag, an environment variable and a key of a YAML file, in that order of
//! precedence, with one name and one parser (clap's). The file's values become clap's defaults, so nothing is parsed twice.

use std::{collections::BTreeMap, fmt, path::Path, str::FromStr, time::Duration};

use clap::{Arg, ArgMatches, Command, Parser, builder::ArgAction};
use serde_json::Value;

/// Reads the settings of this process, or prints what is wrong with which of them and exits with 2.
pub fn parse<T: Parser>() -> T {
    match try_parse_from(std::env::args_os().collect::<Vec<_>>()) {
        Ok(options) => options,
        Err(error) => error.exit(),
    }
}

/// As [`parse`], with defaults for this start: whatever else says what a setting is wins over them.
pub fn parse_above<T: Parser>(defaults: &[(&str, String)]) -> T {
    match try_parse_above(std::env::args_os().collect::<Vec<_>>(), defaults) {
        Ok(options) => options,
        Err(error) => error.exit(),
    }
}

/// As [`parse`], from the arguments given (the first is the program's name).
pub fn try_parse_from<T: Parser>(
    arguments: impl IntoIterator<Item = std::ffi::OsString> + Clone,
) -> Result<T, clap::Error> {
    try_parse_above(arguments, &[])
}

fn try_parse_above<T: Parser>(
    arguments: impl IntoIterator<Item = std::ffi::OsString> + Clone,
    defaults: &[(&str, String)],
) -> Result<T, clap::Error> {
    let mut command = with_config_flag(T::command());
    for (key, value) in defaults {
        (command, _) = with_default(command, key, std::slice::from_ref(value));
    }
    if let Some(path) = config_path(arguments.clone()) {
        let settings = read_file(Path::new(&path)).map_err(|reason| {
            command.error(clap::error::ErrorKind::Io, format!("--config {}: {reason}", Path::new(&path).display()))
        })?;
        for (key, value) in settings {
            let (changed, known) = with_default(command, &key, &value);
            command = changed;
            if !known {
                return Err(command.error(
                    clap::error::ErrorKind::UnknownArgument,
                    format!("the configuration file has an unknown setting {key:?}; --help lists them all"),
                ));
            }
        }
    }
    let mut matches: ArgMatches = command.clone().try_get_matches_from(arguments)?;
    T::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

fn with_config_flag(command: Command) -> Command {
    command.arg(
        Arg::new("config")
            .long("config")
            .env("CHATCLUSTER_CONFIG")
            .value_name("FILE")
            .global(true)
            .help("YAML file of settings; flags and environment variables win over it"),
    )
}

/// Finds `--config` before the real parse, which needs the file's values as defaults.
fn config_path(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Option<std::ffi::OsString> {
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let Some(text) = argument.to_str() else { continue };
        if text == "--" {
            break;
        }
        if text == "--config" {
            return arguments.next();
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(path.into());
        }
    }
    std::env::var_os("CHATCLUSTER_CONFIG").filter(|path| !path.is_empty())
}

/// Flattens the file: `fanout: {broadcastAbove: 500}` and `fanout-broadcast-above: 500` are the same setting.
fn read_file(path: &Path) -> Result<BTreeMap<String, Vec<String>>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let tree: Value = serde_saphyr::from_str(&text).map_err(|error| error.to_string())?;
    let mut settings = BTreeMap::new();
    flatten("", &tree, &mut settings)?;
    Ok(settings)
}

fn flatten(name: &str, tree: &Value, settings: &mut BTreeMap<String, Vec<String>>) -> Result<(), String> {
    let scalar = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(format!("{name}: a plain value or a list of plain values is needed")),
    };
    match tree {
        Value::Null => {}
        Value::Object(members) => {
            for (key, value) in members {
                let key = kebab(key);
                let full = if name.is_empty() { key } else { format!("{name}-{key}") };
                flatten(&full, value, settings)?;
            }
        }
        _ if name.is_empty() => return Err("the file must be a map of settings".into()),
        Value::Array(values) => {
            settings.insert(name.to_owned(), values.iter().map(scalar).collect::<Result<_, _>>()?);
        }
        value => {
            settings.insert(name.to_owned(), vec![scalar(value)?]);
        }
    }
    Ok(())
}

fn kebab(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            out.push('-');
            out.push(c.to_ascii_lowercase());
        } else {
            out.push(if c == '_' { '-' } else { c });
        }
    }
    out
}

/// Makes the file's value the default of the flag of that name, here and in every subcommand that has it.
fn with_default(mut command: Command, key: &str, values: &[String]) -> (Command, bool) {
    let id = command.get_arguments().find(|arg| arg.get_long() == Some(key)).map(|arg| arg.get_id().clone());
    let mut known = false;
    if let Some(id) = id.filter(|_| !matches!(key, "config" | "help" | "version")) {
        known = true;
        let values: Vec<&'static str> = values.iter().map(|value| &*value.clone().leak()).collect();
        command = command.mut_arg(id, |arg| {
            let single = matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse);
            let arg = arg.required(false);
            if single {
                arg.default_value(values.first().copied().unwrap_or("false"))
            } else {
                arg.default_values(values)
            }
        });
    }
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |sub| {
            let (changed, found) = with_default(sub, key, values);
            known |= found;
            changed
        });
    }
    (command, known)
}

/// A setting that must not be seen: prints as `***` wherever it is printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Never log what comes of it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `250ms`, `30s`, `5m`, `2h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no duration; write 250ms, 30s, 5m, 2h or 7d"))?;
    if number == 0 {
        return Err("it must be longer than nothing".into());
    }
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs).ok_or("too long".to_owned());
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => Err(format!("{text:?} has no unit; write {number}s, {number}ms, {number}m, {number}h or {number}d")),
    }
}

/// No buffer of one session or message is larger.
const MAX_BYTES: usize = 1 << 30;

/// The secret that the services of one platform share: long enough not to be guessed, and never empty because a variable
/// was not set.
pub fn service_token(text: &str) -> Result<Secret, String> {
    const SHORTEST: usize = 16;
    if text.len() < SHORTEST {
        return Err(format!("a service token has at least {SHORTEST} characters"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a service token consists of visible ASCII characters".into());
    }
    Ok(Secret::new(text))
}

/// `https://chat.example` or `http://localhost:3000`: scheme, host and port as browsers send them, nothing else.
pub fn origin(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '*', ' ']) => Ok(text.to_ascii_lowercase()),
        _ => Err(format!("{text:?} is no origin; write https://host or https://host:port, without a path")),
    }
}

/// A level, or directives such as `info,chatcluster_gateway=debug`. A bare word that is no level is most likely a slip.
pub fn log_directives(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let slip =
        text.split(',').find(|part| !part.contains('=') && !LEVELS.contains(&part.to_ascii_lowercase().as_str()));
    match slip {
        Some(word) => Err(format!("{word:?} is no level; write error, warn, info, debug or trace")),
        None => Ok(text.to_owned()),
    }
}

/// `4096`, `64KiB`, `1MiB`.
pub fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: usize = number.parse().map_err(|_| format!("{text:?} is no size; write 4096, 64KiB, 1MiB"))?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(format!("{text:?} has an unknown unit; write bytes, KiB, MiB or GiB")),
    };
    match number.checked_mul(1 << shift) {
        Some(0) => Err("it must be more than nothing".into()),
        Some(bytes) if bytes <= MAX_BYTES => Ok(bytes),
        _ => Err(format!("{text:?} is too large, at most 1GiB")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[derive(Parser, Debug)]
    struct Options {
        #[arg(long, default_value = "127.0.0.1:1")]
        listen: String,
        #[arg(long, value_parser = duration, default_value = "10s")]
        fanout_pause: Duration,
        #[arg(long)]
        verbose: bool,
        #[arg(long)]
        needed: String,
        #[arg(long, value_delimiter = ',')]
        origins: Vec<String>,
    }

    fn parse_with(file: &str, flags: &[&str]) -> Result<Options, clap::Error> {
        let path = std::env::temp_dir().join(format!("cc-config-{}-{:p}", std::process::id(), file));
        std::fs::File::create(&path).unwrap().write_all(file.as_bytes()).unwrap();
        let fixed = ["x", "--config", path.to_str().unwrap()];
        let arguments = fixed.iter().chain(flags).map(Into::into);
        let parsed = try_parse_from(arguments.collect::<Vec<std::ffi::OsString>>());
        std::fs::remove_file(path).unwrap();
        parsed
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = "fanout: {pause: 3s}\nlisten: 1.2.3.4:5\nverbose: true\nneeded: x\norigins: [a, b]\n";
        let options = parse_with(file, &["--listen", "9.9.9.9:9"]).unwrap();
        assert_eq!(options.listen, "9.9.9.9:9");
        assert_eq!(options.fanout_pause, Duration::from_secs(3));
        assert!(options.verbose);
        assert_eq!(options.origins, ["a", "b"]);
    }

    #[test]
    fn defaults_of_this_start_are_the_weakest() {
        let parse = |flags: &[&str]| {
            let arguments: Vec<std::ffi::OsString> =
                ["x", "--needed", "y"].iter().chain(flags).map(Into::into).collect();
            try_parse_above::<Options>(arguments, &[("listen", "10.0.0.1:1".to_owned())]).unwrap().listen
        };
        assert_eq!(parse(&[]), "10.0.0.1:1");
        assert_eq!(parse(&["--listen", "9.9.9.9:9"]), "9.9.9.9:9");
    }

    #[test]
    fn wrong_values_and_unknown_keys_are_refused_by_name() {
        let wrong = parse_with("fanoutPause: 3\nneeded: x", &[]).unwrap_err().to_string();
        assert!(wrong.contains("--fanout-pause"), "{wrong}");
        let unknown = parse_with("lisen: x\nneeded: x", &[]).unwrap_err().to_string();
        assert!(unknown.contains("lisen"), "{unknown}");
        assert!(parse_with("listen: a", &[]).unwrap_err().to_string().contains("--needed"));
    }

    #[test]
    fn secrets_do_not_print() {
        let secret: Secret = "hunter2".parse().unwrap();
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn sizes_and_durations_need_their_units() {
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert!(bytes("64kb").is_err());
        assert_eq!(duration("7d"), Ok(Duration::from_hours(168)));
        assert!(duration("7").is_err() && duration("0s").is_err());
        assert!(bytes("0").is_err() && bytes("99999GiB").is_err());
    }

    #[test]
    fn slips_are_refused_at_the_start() {
        assert!(service_token("").is_err() && service_token("short").is_err());
        assert_eq!(service_token("0123456789abcdef").unwrap().expose(), "0123456789abcdef");
        assert_eq!(origin("https://Chat.Example:8443").unwrap(), "https://chat.example:8443");
        assert!(["foo", "https://a/b", "https://*", "ftp://a"].into_iter().all(|text| origin(text).is_err()));
        assert!(log_directives("loud").is_err());
        assert!(log_directives("info,chatcluster_gateway=debug").is_ok());
    }
}
