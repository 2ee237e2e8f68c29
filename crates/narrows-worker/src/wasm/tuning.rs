// How the guest is compiled, shared by the build script, which does it, and the worker, which would
// not take a module that was compiled in another way.

/// The guest's stack in machine code. The limit that QuickJS keeps is reached first, whatever calls
/// itself; the main thread of a worker has 8 MB.
const STACK_BYTES: usize = 5 << 20;

/// Plain WebAssembly with bulk memory, interrupted by epochs, for any processor of the target.
pub(crate) fn config(target: &str) -> wasmtime::Result<wasmtime::Config> {
    let mut config = wasmtime::Config::new();
    config
        .target(target)?
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        // There is no such stack; only that it must not be smaller.
        .async_stack_size(STACK_BYTES)
        .wasm_relaxed_simd(false)
        .wasm_simd(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        // One instance in a process: what a fork copies when it is written to is the snapshot.
        .memory_init_cow(false)
        // Traps are told by their kind alone.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false);
    Ok(config)
}
