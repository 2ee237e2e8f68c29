//! `narrows mode`.

use super::Desk;
use super::args::{ModeArg, ModeArgs};
use super::exit::{Fail, OK};
use crate::config::environment::short;
use crate::config::find_file;
use crate::own_file::OwnFile;
use serde_json::json;

impl Desk {
    /// Shows what agents see, or writes it into the config that counts; a house that serves from
    /// that file takes it over.
    pub(super) fn mode(&self, args: &ModeArgs) -> Result<u8, Fail> {
        let Some(mode) = args.mode else {
            let mode = self.loaded()?.settings.serve.mode;
            let mode = narrows_types::Mode::from(mode).to_string();
            self.out.either(&json!({"mode": mode}), || mode.clone())?;
            return Ok(OK);
        };
        let counts = find_file(&self.env, self.flags.file.as_deref()).map_err(Fail::Usage)?;
        let mut file = OwnFile::open(&self.env, counts.as_deref(), false).map_err(Fail::Usage)?;
        let mode = match mode {
            ModeArg::Code => "code",
            ModeArg::Hybrid => "hybrid",
            ModeArg::Mcp => "mcp",
        };
        file.set_mode(mode).map_err(Fail::Usage)?;
        file.save().map_err(Fail::Usage)?;
        let json = json!({"mode": mode, "file": file.path});
        self.out.either(&json, || format!("mode {mode} in {}", short(&file.path, &self.env)))?;
        Ok(OK)
    }
}
