//! A fake of Firecracker, for machines that have none or no processor to run it on: the same
//! command line, the same API with the same order of steps, the same files and sockets, and as its
//! guest the worker out of the archive that a real one would boot, as a plain process.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of the tests fails by panicking, talks to its console and starts a process"
)]

mod api;
mod guest;

use api::{Request, refuse};
use guest::Guest;
use serde_json::Value;
use std::os::unix::net::UnixListener;

/// Where a machine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    NotStarted,
    Running,
    Paused,
}

/// What it has been told.
#[derive(Debug)]
struct Machine {
    stage: Stage,
    configured: bool,
    guest: Guest,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let &["--id", _, "--api-sock", socket] = words.as_slice() else {
        println!("Arguments parsing error: {args:?}");
        std::process::exit(153);
    };
    let listener = UnixListener::bind(socket).expect("a folder of its own");
    let mut machine =
        Machine { stage: Stage::NotStarted, configured: false, guest: Guest::default() };
    for connection in listener.incoming() {
        let mut connection = connection.expect("a connection");
        let Some(request) = Request::read(&mut connection) else { continue };
        let outcome = machine.carry_out(&request);
        api::answer(&mut connection, outcome);
    }
}

impl Machine {
    fn carry_out(&mut self, request: &Request) -> Result<(), String> {
        let body = &request.body;
        match (request.method.as_str(), request.path.as_str(), self.stage) {
            ("PUT", "/machine-config", Stage::NotStarted) => {
                api::only(body, &["vcpu_count", "mem_size_mib", "smt", "track_dirty_pages"])?;
                let number = |field: &str| body.get(field).and_then(Value::as_u64);
                if number("vcpu_count").is_none_or(|count| !(1..=32).contains(&count)) {
                    return refuse("The vCPU number is invalid!");
                }
                if number("mem_size_mib").is_none_or(|size| size == 0) {
                    return refuse("The memory size (MiB) is invalid.");
                }
                self.configured = true;
                Ok(())
            }
            ("PUT", "/boot-source", Stage::NotStarted) => {
                api::only(body, &["kernel_image_path", "initrd_path", "boot_args"])?;
                self.guest.boot_source(
                    api::text(body, "kernel_image_path")?,
                    api::text(body, "initrd_path")?,
                    api::text(body, "boot_args")?,
                )
            }
            ("PUT", "/vsock", Stage::NotStarted) => {
                api::only(body, &["vsock_id", "guest_cid", "uds_path"])?;
                if body.get("guest_cid").and_then(Value::as_u64).is_none_or(|cid| cid < 3) {
                    return refuse("invalid guest_cid");
                }
                self.guest.listen(api::text(body, "uds_path")?)
            }
            ("PUT", "/actions", Stage::NotStarted) => {
                api::only(body, &["action_type"])?;
                if api::text(body, "action_type")? != "InstanceStart" {
                    return refuse("unknown variant");
                }
                if !self.configured {
                    return refuse("this fake wants a machine-config");
                }
                self.guest.boot()?;
                self.stage = Stage::Running;
                Ok(())
            }
            ("PATCH", "/vm", Stage::Running | Stage::Paused) => {
                api::only(body, &["state"])?;
                self.stage = match api::text(body, "state")? {
                    "Paused" => Stage::Paused,
                    "Resumed" => Stage::Running,
                    _ => return refuse("unknown variant"),
                };
                Ok(())
            }
            ("PUT", "/snapshot/create", Stage::Paused) => {
                api::only(body, &["snapshot_type", "snapshot_path", "mem_file_path"])?;
                let paths = (api::text(body, "snapshot_path")?, api::text(body, "mem_file_path")?);
                self.guest.save(paths.0, paths.1)
            }
            ("PUT", "/snapshot/load", Stage::NotStarted) if !self.configured => {
                api::only(body, &["snapshot_path", "mem_backend", "resume_vm"])?;
                let memory = body.get("mem_backend").unwrap_or(&Value::Null);
                api::only(memory, &["backend_type", "backend_path"])?;
                if api::text(memory, "backend_type")? != "File" {
                    return refuse("this fake only reads files");
                }
                let path = api::text(body, "snapshot_path")?;
                self.guest.load(path, api::text(memory, "backend_path")?)?;
                let resumed = body.get("resume_vm").and_then(Value::as_bool) == Some(true);
                self.stage = if resumed { Stage::Running } else { Stage::Paused };
                Ok(())
            }
            ("PUT" | "PATCH", _, Stage::NotStarted) => {
                refuse("The requested operation is not supported before starting the microVM.")
            }
            ("PUT" | "PATCH", _, _) => {
                refuse("The requested operation is not supported after starting the microVM.")
            }
            _ => refuse("Invalid request method and/or path"),
        }
    }
}
