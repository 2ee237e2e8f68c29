//! The clock and time zones. Zones come from a database inside the program.

use super::{Outcome, read, structured};
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit, Zoned};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Now {
    #[serde(default)]
    zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Convert {
    time: String,
    #[serde(default)]
    from: Option<String>,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    start: String,
    end: String,
    #[serde(default)]
    zone: Option<String>,
}

/// A moment as it is told.
#[derive(Serialize)]
struct Moment {
    time: String,
    zone: String,
    offset: String,
    unix_ms: i64,
    weekday: String,
    dst: bool,
}

#[derive(Serialize)]
struct Converted {
    from: Moment,
    to: Moment,
}

#[derive(Serialize)]
struct Apart {
    seconds: f64,
    days: i64,
    hours: i64,
    minutes: i64,
    iso: String,
}

/// Calls a tool.
pub(super) fn call(tool: &str, arguments: &RawValue) -> Outcome {
    match tool {
        "now" => {
            let Now { zone } = read(arguments)?;
            let zone = zone.as_deref().map_or_else(|| Ok(TimeZone::system()), find)?;
            structured(&moment(&Timestamp::now().to_zoned(zone)))
        }
        "convert" => {
            let Convert { time, from, to } = read(arguments)?;
            let start = parse(&time, from.as_deref())?;
            let end = start.with_time_zone(find(&to)?);
            structured(&Converted { from: moment(&start), to: moment(&end) })
        }
        _ => {
            let Difference { start, end, zone } = read(arguments)?;
            let start = parse(&start, zone.as_deref())?;
            let end = parse(&end, zone.as_deref())?;
            apart(&start, &end)
        }
    }
}

fn apart(start: &Zoned, end: &Zoned) -> Outcome {
    // Days are counted in one zone: where the clocks change, a day is not always 24 hours.
    let end = end.with_time_zone(start.time_zone().clone());
    let span = start.until((Unit::Day, &end)).map_err(|e| e.to_string())?;
    structured(&Apart {
        seconds: start.duration_until(&end).as_secs_f64(),
        days: i64::from(span.get_days()),
        hours: i64::from(span.get_hours()),
        minutes: span.get_minutes(),
        iso: span.to_string(),
    })
}

fn find(zone: &str) -> Result<TimeZone, String> {
    TimeZone::get(zone).map_err(|_unknown| {
        format!("unknown time zone {zone}; give an IANA name like Europe/Berlin, or UTC")
    })
}

/// Reads a moment: with an offset or zone of its own, or as a clock shows it in `zone`.
fn parse(text: &str, zone: Option<&str>) -> Result<Zoned, String> {
    let text = text.trim();
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Ok(zoned);
    }
    let zone = zone.map(find).transpose()?;
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return Ok(stamp.to_zoned(zone.unwrap_or(TimeZone::UTC)));
    }
    let zone = zone.unwrap_or_else(TimeZone::system);
    let local = text.parse::<DateTime>().ok().or_else(|| {
        let time = text.parse::<Time>().ok()?;
        Some(Timestamp::now().to_zoned(zone.clone()).date().to_datetime(time))
    });
    let Some(local) = local else {
        return Err(format!(
            "`{}` is no time; give 2026-11-21T10:00:00Z, 2026-11-21 10:00 or 10:00",
            narrows_types::fault::clip(text.to_owned(), 80)
        ));
    };
    local.to_zoned(zone).map_err(|e| e.to_string())
}

fn moment(zoned: &Zoned) -> Moment {
    let zone = zoned.time_zone();
    Moment {
        time: zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        zone: zone.iana_name().unwrap_or("unknown").to_owned(),
        offset: zoned.strftime("%:z").to_string(),
        unix_ms: zoned.timestamp().as_millisecond(),
        weekday: zoned.strftime("%A").to_string().to_lowercase(),
        dst: zone.to_offset_info(zoned.timestamp()).dst().is_dst(),
    }
}
