//! Values of flags as Go's flag library reads them.

use std::time::Duration;

use thiserror::Error;

/// A value that is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum ValueError {
    #[error("give true or false")]
    Bool,
    #[error("give a duration with its unit, as in 30s, 1m30s or 500ms")]
    Duration,
    #[error("give a key and its value, as in key=value")]
    KeyValue,
}

/// As `strconv.ParseBool`.
pub(super) fn bool(text: &str) -> Result<bool, ValueError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(ValueError::Bool),
    }
}

/// The value may have a `=`, too.
pub(super) fn key_value(text: &str) -> Result<(String, String), ValueError> {
    let (key, value) = text.split_once('=').ok_or(ValueError::KeyValue)?;
    Ok((key.to_owned(), value.to_owned()))
}

/// How long between two probes of a quiet TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// Never.
    Off,
    /// This long.
    Every(Duration),
}

/// What Go takes where the flag says 0.
const USUAL: Duration = Duration::from_secs(15);

/// As Go's dialer reads its `KeepAlive`.
pub(super) fn keep_alive(text: &str) -> Result<KeepAlive, ValueError> {
    let (negative, text) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let duration = duration(text)?;
    Ok(match duration {
        Duration::ZERO => KeepAlive::Every(USUAL),
        _ if negative => KeepAlive::Off,
        duration => KeepAlive::Every(duration),
    })
}

/// As `time.ParseDuration`, without its sign.
fn duration(text: &str) -> Result<Duration, ValueError> {
    const UNITS: [(&str, f64); 8] = [
        // Before those that they begin with.
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|one: char| !one.is_ascii_digit() && one != '.');
        let (number, after) = rest.split_at(end.ok_or(ValueError::Duration)?);
        let number: f64 = number.parse().map_err(|_| ValueError::Duration)?;
        let unit = UNITS.iter().find(|(name, _)| after.starts_with(name));
        let (name, unit) = unit.ok_or(ValueError::Duration)?;
        seconds += number * unit;
        rest = &after[name.len()..];
    }
    if text.is_empty() {
        return Err(ValueError::Duration);
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| ValueError::Duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_reads_them() {
        let every = |milliseconds| Ok(KeepAlive::Every(Duration::from_millis(milliseconds)));
        for (text, read) in [
            ("0", every(15_000)),
            ("0s", every(15_000)),
            ("30s", every(30_000)),
            ("1m30s", every(90_000)),
            ("1.5h", every(5_400_000)),
            ("500ms", every(500)),
            ("-1s", Ok(KeepAlive::Off)),
            ("", Err(ValueError::Duration)),
            ("30", Err(ValueError::Duration)),
            ("abc", Err(ValueError::Duration)),
            ("1d", Err(ValueError::Duration)),
            ("--1s", Err(ValueError::Duration)),
        ] {
            assert_eq!(keep_alive(text), read, "{text}");
        }
    }

    #[test]
    fn keys_with_values() {
        let read = Ok(("a".into(), "b=c".into()));
        assert_eq!(key_value("a=b=c"), read);
        assert_eq!(key_value("a"), Err(ValueError::KeyValue));
    }

    #[test]
    fn bools_as_go_reads_them() {
        assert_eq!((bool("t"), bool("False")), (Ok(true), Ok(false)));
        assert_eq!(bool("yes"), Err(ValueError::Bool));
    }
}
