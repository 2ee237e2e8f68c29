use super::House;
use crate::config::Builtin;
use serde_json::json;

fn house() -> House {
    House::new(&Builtin::Time)
}

#[test]
fn now_is_now_in_any_zone() {
    let house = house();
    let utc = house.value("now", &json!({"zone": "UTC"}));
    let tokyo = house.value("now", &json!({"zone": "Asia/Tokyo"}));
    assert_eq!(tokyo["offset"], "+09:00");
    assert_eq!(utc["zone"], "UTC");
    let apart = tokyo["unix_ms"].as_i64().unwrap() - utc["unix_ms"].as_i64().unwrap();
    assert!((0..10_000).contains(&apart));
    house.value("now", &json!({}));
}

#[test]
fn zones_are_converted_with_daylight_saving() {
    let house = house();
    let summer = json!({"time": "2026-07-01 12:00", "from": "Europe/Berlin", "to": "UTC"});
    assert_eq!(house.value("convert", &summer)["to"]["time"], "2026-07-01T10:00:00+00:00");
    let winter =
        json!({"time": "2026-01-01T12:00:00", "from": "Europe/Berlin", "to": "America/New_York"});
    let value = house.value("convert", &winter);
    assert_eq!(value["to"]["time"], "2026-01-01T06:00:00-05:00");
    assert_eq!(value["from"]["dst"], false);
    assert_eq!(value["to"]["weekday"], "thursday");
    let stamped = json!({"time": "2026-01-01T12:00:00Z", "to": "Asia/Kolkata"});
    assert_eq!(house.value("convert", &stamped)["to"]["time"], "2026-01-01T17:30:00+05:30");
    let today = json!({"time": "10:30", "from": "UTC", "to": "Asia/Kolkata"});
    let text = house.value("convert", &today)["to"]["time"].as_str().unwrap().to_owned();
    assert!(text.contains("T16:00:00"), "{text}");
}

#[test]
fn differences_count_days_by_the_calendar() {
    let house = house();
    // The clocks went forward in between: two days, but an hour less.
    let ask =
        json!({"start": "2026-03-28 12:00", "end": "2026-03-30 12:00", "zone": "Europe/Berlin"});
    let value = house.value("difference", &ask);
    assert_eq!(value["days"], 2);
    assert_eq!(value["hours"], 0);
    assert_eq!(value["seconds"], 47.0 * 3600.0);
    let back = json!({"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T22:30:00Z"});
    let value = house.value("difference", &back);
    assert_eq!((&value["hours"], &value["minutes"]), (&json!(-1), &json!(-30)));
}

#[test]
fn what_is_no_time_or_zone_is_said() {
    let house = house();
    let why = house.refused("now", &json!({"zone": "Mars/Olympus"}));
    assert!(why.starts_with("unknown time zone Mars/Olympus; give an IANA name"), "{why}");
    let why = house.refused("convert", &json!({"time": "tomorrow", "to": "UTC"}));
    assert!(why.contains("`tomorrow` is no time"), "{why}");
    house.refused("convert", &json!({"time": "9999999999-01-01T00:00:00Z", "to": "UTC"}));
}
