use super::{Board, Cell};
use crate::config::{Launch, ServerConfig};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

/// Between the two, whoever waits for its tools must go on waiting: they read what is published.
#[test]
fn tools_are_known_once_they_are_published() {
    let config = ServerConfig::new("late", Launch::http("http://127.0.0.1:1/mcp"));
    let (wants, _keeper) = mpsc::channel(1);
    let (updates, _) = broadcast::channel(1);
    let stop = CancellationToken::new();
    let cell = Arc::new(Cell::new(config, None, Some(wants), updates.clone(), stop));
    let board = Board::new(vec![Arc::clone(&cell)], updates);
    assert_eq!(board.unlisted().len(), 1);
    let offer = json!({"revision": "2025-11-25", "version": "1", "instructions": null,
        "skipped": [], "tools": [{"name": "a", "inputSchema": {}}]});
    cell.set_offer(serde_json::from_value(offer).unwrap());
    assert_eq!(board.unlisted().len(), 1);
    assert!(board.publish());
    assert_eq!(board.unlisted().len(), 0);
}
