//! Calls that leave the jail, and what comes back.

use monty::{ReplFunctionCall, ReplProgress};
use monty_types::{ExcType, ExtFunctionResult, MontyException, MontyObject};
use narrows_types::Limit;
use narrows_types::fault::clip;
use narrows_types::frame::{Call, CallError, End, FromWorker, Progress, Reply, ToWorker};
use serde_json::value::RawValue;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use super::runtime::{Session, Stop};
use super::value::{self, Strange, Unfit};
use crate::link::unexpected;

/// Progress frames of one run; later ones are dropped, for nobody could read them.
const NOTICES_MAX: u32 = 10_000;

/// Bytes of one progress message.
const NOTICE_BYTES_MAX: usize = 600;

/// Bytes of one error's message.
const ERROR_BYTES_MAX: usize = 8 << 10;

/// The arguments of a tool's call: keywords, or one dict.
pub(super) fn tool_arguments(
    name: &str,
    call: &ReplFunctionCall,
    bytes_max: u64,
) -> Result<Box<RawValue>, MontyException> {
    let keywords = || value::arguments_to_json(&call.kwargs, bytes_max);
    let json = match call.args.as_slice() {
        [] => keywords(),
        [dict @ MontyObject::Dict(_)] if call.kwargs.is_empty() => {
            value::to_json(dict, Strange::Refuse, bytes_max)
        }
        _ => {
            let message = format!("{name} takes keyword arguments: write {name}(key=value)");
            return Err(MontyException::new(ExcType::TypeError, Some(message)));
        }
    };
    json.map_err(|unfit| refused(name, &unfit, bytes_max))
}

pub(super) fn refused(name: &str, unfit: &Unfit, bytes_max: u64) -> MontyException {
    let message = match unfit {
        Unfit::TooLong => format!("{name}: the arguments are longer than {bytes_max} bytes"),
        Unfit::NotJson(why) => format!("{name}: {why}"),
    };
    MontyException::new(ExcType::TypeError, Some(message))
}

impl<S: Read + Write + AsFd> Session<'_, S> {
    /// Sends a call, and gives a future for its result or the result itself.
    pub(super) fn call(
        &mut self,
        call: ReplFunctionCall,
        (server, tool, args): (String, String, Box<RawValue>),
        wait: bool,
    ) -> Result<ReplProgress, Stop> {
        if self.calls >= self.program.limits.calls {
            return Err(Stop::End(End::Limit(Limit::Calls)));
        }
        self.calls += 1;
        let id = self.calls;
        self.link.send(&FromWorker::Call(Call { id, server, tool, args }))?;
        if !wait {
            self.pending.insert(id, call.call_id);
            return self.turn(|print| call.resume_pending(print));
        }
        let reply = loop {
            let reply = self.receive()?;
            if reply.id == id {
                break reply;
            }
            self.replies.push(reply);
        };
        let outcome = self.outcome(&reply)?;
        self.arm()?;
        self.turn(|print| call.resume(outcome, print))
    }

    /// Waits for the next reply, at most until the run's time is over. The memory limit is the
    /// interpreter's: what arrives does not count until it has become a value of the program's.
    pub(super) fn receive(&mut self) -> Result<Reply, Stop> {
        let _: Result<(), _> = monty_alloc::set_limit(None, false);
        let reply = loop {
            self.check_time()?;
            if !self.link.ready(self.time_left())? {
                continue;
            }
            match self.link.receive()? {
                ToWorker::Reply(reply) => break reply,
                ToWorker::Ping => self.link.send(&FromWorker::Idle)?,
                _ => return Err(Stop::Link(unexpected("anything but a reply"))),
            }
        };
        let again = self.replies.iter().any(|other| other.id == reply.id);
        if reply.id == 0 || reply.id > self.calls || again {
            return Err(Stop::Link(unexpected("a reply to no call")));
        }
        self.clock.told(reply.at_us);
        self.check_time()?;
        if reply.body.len() as u64 > self.program.limits.result_bytes {
            return Err(Stop::End(End::Limit(Limit::ResultBytes)));
        }
        Ok(reply)
    }

    /// What a reply is to the program.
    pub(super) fn outcome(&mut self, reply: &Reply) -> Result<ExtFunctionResult, Stop> {
        if reply.ok && self.loads.remove(&reply.id) {
            let loaded = self.scratch.load(&reply.body);
            return loaded.map_err(|limit| Stop::End(End::Limit(limit)));
        }
        if reply.ok {
            return match value::from_json(&reply.body) {
                Ok(value) => Ok(value.into()),
                Err(why) => {
                    Ok(self.tool_error(format!("the result is no json that fits here: {why}")))
                }
            };
        }
        let error: CallError = serde_json::from_str(&reply.body)
            .map_err(|error| Stop::Link(unexpected(&format!("an error that is none: {error}"))))?;
        let mut message = format!("{}: {}", error.tool, error.message);
        if !error.arguments.is_empty() {
            message = format!("{message} (sent {})", error.arguments);
        }
        Ok(self.tool_error(message))
    }

    fn tool_error(&mut self, message: String) -> ExtFunctionResult {
        let message = clip(message, ERROR_BYTES_MAX);
        if !self.tool_errors.contains(&message) {
            self.tool_errors.push(message.clone());
        }
        MontyException::new(ExcType::RuntimeError, Some(message)).into()
    }

    /// `progress(fraction, message)`.
    pub(super) fn progress(&mut self, call: &ReplFunctionCall) -> Result<ExtFunctionResult, Stop> {
        let fraction = match argument(call, 0, "fraction") {
            Some(MontyObject::Float(value)) if value.is_finite() => Some(value.clamp(0.0, 1.0)),
            Some(MontyObject::Int(value)) => Some(if *value <= 0 { 0.0 } else { 1.0 }),
            _ => None,
        };
        let message = match (argument(call, 1, "message"), call.args.first()) {
            (Some(message), _) => message.to_string(),
            (None, Some(MontyObject::String(message))) => message.clone(),
            _ => String::new(),
        };
        if self.notices < NOTICES_MAX {
            self.notices += 1;
            let message = clip(message, NOTICE_BYTES_MAX);
            self.link.send(&FromWorker::Progress(Progress { fraction, message }))?;
        }
        Ok(MontyObject::None.into())
    }

    /// `show(value)`.
    pub(super) fn show(&mut self, call: &ReplFunctionCall) -> Result<ExtFunctionResult, Stop> {
        let Some(shown) = argument(call, 0, "value") else {
            let message = "show takes one argument: show(value)".to_owned();
            return Ok(MontyException::new(ExcType::TypeError, Some(message)).into());
        };
        let room = self.program.limits.value_bytes.saturating_sub(self.shown_bytes);
        match value::to_json(shown, Strange::Describe, room) {
            Ok(json) => {
                self.shown_bytes += json.get().len() as u64;
                self.link.send(&FromWorker::Show(json))?;
                Ok(MontyObject::None.into())
            }
            Err(Unfit::TooLong) => Err(Stop::End(End::Limit(Limit::ValueBytes))),
            Err(unfit) => Ok(refused("show", &unfit, self.program.limits.value_bytes).into()),
        }
    }
}

fn argument<'c>(call: &'c ReplFunctionCall, index: usize, name: &str) -> Option<&'c MontyObject> {
    let named = |(key, _): &&(MontyObject, MontyObject)| matches!(key, MontyObject::String(key) if key == name);
    call.args.get(index).or_else(|| call.kwargs.iter().find(named).map(|(_, value)| value))
}
