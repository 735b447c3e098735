//! The fields of a request.

use std::str::FromStr;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use serde_json::{Map, Value};

use crate::failure::{Failure, Outcome};

const TIMEOUT: f64 = 60.0;

#[derive(Debug, Clone)]
pub struct Request(pub Map<String, Value>);

impl Request {
    pub fn text<'a>(&'a self, name: &str, absent: &'a str) -> &'a str {
        self.0.get(name).and_then(Value::as_str).unwrap_or(absent)
    }

    pub fn number(&self, name: &str, absent: u64) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or(absent)
    }

    pub fn size(&self, name: &str, absent: usize) -> usize {
        usize::try_from(self.number(name, absent as u64)).unwrap_or(usize::MAX)
    }

    pub fn seconds(&self, name: &str, absent: f64) -> Duration {
        Duration::try_from_secs_f64(self.0.get(name).and_then(Value::as_f64).unwrap_or(absent)).unwrap_or_default()
    }

    pub fn flag(&self, name: &str, absent: bool) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(absent)
    }

    /// The texts of a list; none where the field is absent.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        let list = self.0.get(name)?.as_array()?;
        Some(list.iter().filter_map(|each| each.as_str().map(str::to_owned)).collect())
    }

    /// What hexadecimal digits stand for; nothing where the field is absent.
    pub fn bytes(&self, name: &str) -> Outcome<Vec<u8>> {
        let text = self.text(name, "");
        let pair = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let value: Option<Vec<u8>> = (0..text.len()).step_by(2).map(pair).collect();
        value.ok_or_else(|| Failure::bad_request(format!("{name} is not hexadecimal")))
    }

    pub fn parsed<T>(&self, name: &str) -> Outcome<T>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        parse(self.text(name, ""))
    }

    pub fn peer(&self) -> Outcome<PeerId> {
        self.parsed("peer")
    }

    pub fn address(&self) -> Outcome<Multiaddr> {
        self.parsed("address")
    }

    pub fn deadline(&self) -> Duration {
        self.seconds("timeout", TIMEOUT)
    }
}

pub fn parse<T>(text: &str) -> Outcome<T>
where
    T: FromStr<Err: std::fmt::Display>,
{
    text.parse().map_err(|error| Failure::bad_request(format!("{text:?}: {error}")))
}
