//! The same files for `pathlib.Path` and `open`, with the words that Python has for what goes wrong.

use monty_types::{
    ExcType, FileMode, MkdirCallArgs, MontyFileHandle, MontyObject, OsFunctionCall, RenameCallArgs,
    dir_stat, file_stat,
};

use super::files::{Disk, Kind, ROOT, Trouble, path};

type Answer = Result<MontyObject, Trouble>;

fn error(kind: ExcType, words: &str, path: &str) -> Trouble {
    Trouble::Raised(kind, format!("{words}: '{path}'"))
}

fn missing(path: &str) -> Trouble {
    error(ExcType::FileNotFoundError, "[Errno 2] No such file or directory", path)
}

fn no_folder(path: &str) -> Trouble {
    error(ExcType::NotADirectoryError, "[Errno 20] Not a directory", path)
}

fn is_folder(path: &str) -> Trouble {
    error(ExcType::IsADirectoryError, "[Errno 21] Is a directory", path)
}

/// The path of something, `""` for the outermost folder.
fn place(given: &str) -> Option<&str> {
    match given.trim_end_matches('/') {
        ROOT | "." | "" if given != "/" => Some(""),
        other => path(other),
    }
}

fn at(given: &str) -> Result<&str, Trouble> {
    let outside = || {
        let message = format!("'{given}' is no path here: files are in {ROOT}, without ..");
        Trouble::Raised(ExcType::PermissionError, message)
    };
    place(given).ok_or_else(outside)
}

fn absolute(path: &str) -> MontyObject {
    let whole = if path.is_empty() { ROOT.to_owned() } else { format!("{ROOT}/{path}") };
    MontyObject::Path(whole)
}

fn count(size: usize) -> MontyObject {
    MontyObject::Int(i64::try_from(size).unwrap_or(i64::MAX))
}

impl Disk {
    /// Answers a call of the operating system. `None`: it has nothing to do with files.
    pub(in super::super) fn os(&mut self, call: &OsFunctionCall) -> Option<Answer> {
        Some(match call {
            OsFunctionCall::Exists(given) => Ok(MontyObject::Bool(self.what(given).is_some())),
            OsFunctionCall::IsFile(given) => Ok(self.is(given, Kind::File)),
            OsFunctionCall::IsDir(given) => Ok(self.is(given, Kind::Folder)),
            OsFunctionCall::IsSymlink(_) => Ok(MontyObject::Bool(false)),
            OsFunctionCall::ReadText(given) => self.read_text(given),
            OsFunctionCall::ReadBytes(given) => {
                self.read(given).map(|bytes| MontyObject::Bytes(bytes.to_vec()))
            }
            OsFunctionCall::Stat(given) => self.stat(given),
            OsFunctionCall::Iterdir(given) => self.iterdir(given),
            OsFunctionCall::Resolve(given) | OsFunctionCall::Absolute(given) => {
                at(given).map(absolute)
            }
            OsFunctionCall::WriteText(args) => self
                .write(&args.path, args.data.as_bytes(), false)
                .map(|()| count(args.data.chars().count())),
            OsFunctionCall::AppendText(args) => self
                .write(&args.path, args.data.as_bytes(), true)
                .map(|()| count(args.data.chars().count())),
            OsFunctionCall::WriteBytes(args) => {
                self.write(&args.path, &args.data, false).map(|()| count(args.data.len()))
            }
            OsFunctionCall::AppendBytes(args) => {
                self.write(&args.path, &args.data, true).map(|()| count(args.data.len()))
            }
            OsFunctionCall::Open(args) => self.open(&args.path, args.mode),
            OsFunctionCall::Mkdir(args) => self.mkdir(args),
            OsFunctionCall::Unlink(given) => self.unlink(given),
            OsFunctionCall::Rmdir(given) => self.rmdir(given),
            OsFunctionCall::Rename(args) => self.rename(args),
            OsFunctionCall::Getenv(_)
            | OsFunctionCall::GetEnviron
            | OsFunctionCall::DateToday
            | OsFunctionCall::DateTimeNow(_) => return None,
        })
    }

    fn what(&self, given: &str) -> Option<Kind> {
        match place(given)? {
            "" => Some(Kind::Folder),
            path => self.kind(path),
        }
    }

    fn is(&self, given: &str, kind: Kind) -> MontyObject {
        MontyObject::Bool(self.what(given) == Some(kind))
    }

    fn read(&self, given: &str) -> Result<&[u8], Trouble> {
        let path = at(given)?;
        match self.what(given) {
            Some(Kind::File) => self.get(path),
            Some(Kind::Folder) => Err(is_folder(given)),
            None => Err(missing(given)),
        }
    }

    fn read_text(&self, given: &str) -> Answer {
        let bytes = self.read(given)?;
        let text = str::from_utf8(bytes).map_err(|error| {
            let place = error.valid_up_to();
            let message = format!("'utf-8' codec can't decode the byte in position {place}");
            Trouble::Raised(ExcType::UnicodeDecodeError, message)
        })?;
        Ok(MontyObject::String(text.to_owned()))
    }

    fn stat(&self, given: &str) -> Answer {
        let path = at(given)?;
        match self.what(given) {
            Some(Kind::File) => {
                let size = i64::try_from(self.get(path)?.len()).unwrap_or(i64::MAX);
                Ok(file_stat(0o644, size, 0.0))
            }
            Some(Kind::Folder) => Ok(dir_stat(0o755, 0.0)),
            None => Err(missing(given)),
        }
    }

    fn iterdir(&self, given: &str) -> Answer {
        let path = at(given)?;
        match self.what(given) {
            Some(Kind::Folder) => {}
            Some(Kind::File) => return Err(no_folder(given)),
            None => return Err(missing(given)),
        }
        let before = given.trim_end_matches('/');
        let named = |name: &str| match before {
            "" | "." => name.to_owned(),
            before => format!("{before}/{name}"),
        };
        let names = self.in_folder(path).into_iter().map(named);
        Ok(MontyObject::List(names.map(MontyObject::Path).collect()))
    }

    /// Whether a file may be written at a path: unlike `scratch.write`, Python makes no folders.
    fn writable<'g>(&self, given: &'g str) -> Result<&'g str, Trouble> {
        let path = at(given)?;
        if self.what(given) == Some(Kind::Folder) {
            return Err(is_folder(given));
        }
        match path.rsplit_once('/').map(|(folder, _)| self.kind(folder)) {
            Some(None) => Err(missing(given)),
            Some(Some(Kind::File)) => Err(no_folder(given)),
            None | Some(Some(Kind::Folder)) => Ok(path),
        }
    }

    fn write(&mut self, given: &str, data: &[u8], after: bool) -> Result<(), Trouble> {
        let path = self.writable(given)?;
        self.put(path, data, after)
    }

    fn open(&mut self, given: &str, mode: FileMode) -> Answer {
        if mode.create() {
            self.write(given, &[], !mode.truncate())?;
        } else {
            self.read(given)?;
        }
        let handle = MontyFileHandle { path: given.to_owned(), mode, position: 0 };
        Ok(MontyObject::FileHandle(handle))
    }

    fn mkdir(&mut self, args: &MkdirCallArgs) -> Answer {
        let given = args.path.as_str();
        let path = at(given)?;
        match self.what(given) {
            Some(Kind::Folder) if args.exist_ok => return Ok(MontyObject::None),
            Some(_) => {
                return Err(error(ExcType::FileExistsError, "[Errno 17] File exists", given));
            }
            None => {}
        }
        for (level, _) in path.match_indices('/') {
            match self.kind(path.get(..level).unwrap_or_default()) {
                Some(Kind::File) => return Err(no_folder(given)),
                None if !args.parents => return Err(missing(given)),
                _ => {}
            }
        }
        self.make_folder(path)?;
        Ok(MontyObject::None)
    }

    fn unlink(&mut self, given: &str) -> Answer {
        let path = at(given)?;
        match self.what(given) {
            Some(Kind::Folder) => Err(is_folder(given)),
            None => Err(missing(given)),
            Some(Kind::File) => {
                self.remove(path);
                Ok(MontyObject::None)
            }
        }
    }

    fn rmdir(&mut self, given: &str) -> Answer {
        let path = at(given)?;
        match self.what(given) {
            None => Err(missing(given)),
            Some(Kind::File) => Err(no_folder(given)),
            Some(Kind::Folder) if self.remove_folder(path) => Ok(MontyObject::None),
            Some(Kind::Folder) => {
                Err(error(ExcType::OSError, "[Errno 39] Directory not empty", given))
            }
        }
    }

    fn rename(&mut self, args: &RenameCallArgs) -> Answer {
        let (from, to) = (args.src.as_str(), args.dst.as_str());
        if self.what(from) == Some(Kind::Folder) {
            let message = format!("'{from}' is a folder: rename its files one by one");
            return Err(Trouble::Raised(ExcType::PermissionError, message));
        }
        self.read(from)?;
        let (from, path) = (at(from)?, self.writable(to)?);
        let bytes = self.remove(from).unwrap_or_default();
        self.put(path, &bytes, false)?;
        Ok(MontyObject::Path(to.to_owned()))
    }
}
