//! QEMU's monitor: one JSON object a line.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Longer than this no command takes, also when the guest is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the monitor.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects.
    ///
    /// # Errors
    /// QEMU does not listen yet.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.execute("qmp_capabilities", &json!({}));
        Ok(qmp)
    }

    /// Executes a command and returns its answer.
    ///
    /// # Panics
    /// When QEMU refuses it or does not answer.
    #[track_caller]
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Value {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).expect("QEMU listens");
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap_or_else(|error| panic!("{command}: {error}"));
            let mut answer: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{command}: {error}: {line}"));
            // The greeting and events come in between.
            if let Some(found) = answer.get_mut("return") {
                return found.take();
            }
            assert!(answer.get("error").is_none(), "{command} {arguments}: {answer}");
        }
    }
}
