//! Errors in the words of the control protocol.

use std::fmt::Display;
use std::io::{self, ErrorKind};

use libp2p::swarm::DialError;
use serde_json::{Value, json};

/// Why an operation did not go well; `kind` is one of those that interop/README.md lists.
#[derive(Debug, Clone)]
pub struct Failure {
    pub kind: &'static str,
    pub text: String,
}

pub type Outcome<T = Value> = Result<T, Failure>;

impl Failure {
    pub fn new(kind: &'static str, text: impl Display) -> Self {
        Self { kind, text: text.to_string() }
    }

    pub fn bad_request(text: impl Display) -> Self {
        Self::new("bad_request", text)
    }

    /// The fields of the answer.
    pub fn answer(&self) -> Value {
        let mut body = json!({"ok": false, "kind": self.kind, "error": self.text});
        if self.kind == "reset" {
            body["code"] = json!(0);
        }
        body
    }
}

impl From<io::Error> for Failure {
    /// A stream of yamux tells nothing but that it is no longer to be written to; who closed it knows better and says so first.
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::WriteZero | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset",
            ErrorKind::UnexpectedEof => "ended",
            ErrorKind::TimedOut => "timeout",
            ErrorKind::NotConnected | ErrorKind::ConnectionAborted => "connection_closed",
            _ => "failed",
        };
        Self::new(kind, error)
    }
}

impl From<&DialError> for Failure {
    fn from(error: &DialError) -> Self {
        let kind = match error {
            DialError::WrongPeerId { .. } => "peer_id_mismatch",
            _ => "dial_failed",
        };
        Self::new(kind, error)
    }
}
