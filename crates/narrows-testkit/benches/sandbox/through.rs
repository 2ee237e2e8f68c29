//! Runs through the whole engine: admission, check, journal in a file, report.

use crate::house::House;
use crate::measure;
use crate::table::{Row, Spread};
use narrows_types::{Durability, Language};
use std::time::{Duration, Instant};

const WARM: usize = 300;
const IN_A_ROW: usize = 500;
const CALLS: usize = 500;
const PAUSE: Duration = Duration::from_millis(5);

/// By the engine's defaults, in the language that the name ends with.
pub(crate) async fn measure(name: &str) -> Row {
    let python = name.ends_with("python");
    let language = if python { Language::Python } else { Language::TypeScript };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("narrows.db").display());
    let began = Instant::now();
    let house = House::open(&url).await;
    let nothing = measure::nothing(language);
    let run = async |code: &str| {
        let began = Instant::now();
        house.run(language, code, Durability::Async).await;
        began.elapsed().as_secs_f64() * 1e3
    };
    run(nothing).await;
    let cold = began.elapsed().as_secs_f64() * 1e3;
    let (mut warm, mut row) = (Vec::new(), Vec::new());
    for _ in 0..WARM {
        tokio::time::sleep(PAUSE).await;
        warm.push(run(nothing).await);
    }
    for _ in 0..IN_A_ROW {
        row.push(run(nothing).await);
    }
    // The engine answers: what a call costs is what it adds to a run.
    let mut trips = Vec::new();
    let (none, row) = (Spread::of(row.clone()), Spread::of(row));
    for _ in 0..10 {
        let ms = run(&measure::calls(language, "add", CALLS)).await;
        trips.push((ms - none.map_or(0.0, |none| none.p50)) * 1e3 / CALLS as f64);
    }
    house.close().await;
    Row {
        name: name.to_owned(),
        cold_ms: Spread::of(vec![cold]),
        warm_ms: Spread::of(warm),
        sequence_ms: row,
        trip_us: Spread::of(trips),
        note: "a call is checked, journaled and made: the mean over a run".to_owned(),
        ..Row::default()
    }
}
