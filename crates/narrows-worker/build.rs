//! Compiles the guest to machine code, so that no compiler is in the product.

use std::path::Path;

#[path = "src/wasm/tuning.rs"]
mod tuning;

const GUEST: &str = "src/wasm/guest.wasm";

#[expect(clippy::disallowed_methods, reason = "this is how cargo talks to a build script")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    for input in ["build.rs", GUEST, "src/wasm/tuning.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let target = std::env::var("TARGET")?;
    let engine = wasmtime::Engine::new(&tuning::config(&target)?)?;
    let module = engine.precompile_module(&std::fs::read(GUEST)?)?;
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("guest.cwasm"), module)?;
    println!("cargo::rustc-env=NARROWS_TARGET={target}");
    Ok(())
}
