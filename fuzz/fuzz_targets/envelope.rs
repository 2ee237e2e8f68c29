//! Bytes from an upstream or a client are a message or are refused, and never anything else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narrows_protocol::sse::Reader;
use narrows_protocol::views::{ToolPage, tool};
use narrows_protocol::{Message, envelope, header};

fuzz_target!(|data: &[u8]| {
    if let Ok(Message::Request { id, method, params }) = Message::parse(data) {
        let text = envelope::request(&id, &method, &params).unwrap();
        assert!(matches!(Message::parse(text.as_bytes()), Ok(Message::Request { .. })));
    }
    if let Ok(page) = serde_json::from_slice::<ToolPage<'_>>(data) {
        for raw in page.tools {
            let _either = tool(raw);
        }
    }
    let mut reader = Reader::new(4_096);
    for chunk in data.chunks(7) {
        if reader.feed(chunk).is_err() {
            break;
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        assert_eq!(header::decode(&header::encode(text)).as_deref(), Some(text));
    }
});
