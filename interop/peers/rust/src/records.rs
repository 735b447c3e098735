//! Which records a DHT node keeps, and the better of two: rust-libp2p leaves that to its application.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey};
use libp2p::kad::store::{Error, MemoryStore, RecordStore, Result};
use libp2p::kad::{ProviderRecord, Record, RecordKey};

use crate::failure::{Failure, Outcome};
use crate::wire;

const IPNS_LIFETIME: Duration = Duration::from_secs(3600);
const IPNS_TTL: u64 = 60_000_000_000; // nanoseconds
const IPNS_DOMAIN: &[u8] = b"ipns-signature:";
const IPNS_KEY: u64 = 7; // fields of a record
const IPNS_SIGNATURE: u64 = 8;
const IPNS_DATA: u64 = 9;

/// Of two valid values of a key the one with the higher rank counts.
pub type Rank = (u64, Vec<u8>, Vec<u8>);

/// `pk`, `ipns`, and namespaces whose values are a number, a space and anything.
#[derive(Clone, Default)]
pub struct Validators {
    pub numbered: Vec<String>,
}

impl Validators {
    /// The rank of a valid value; none of another, nor in a namespace that is not known.
    pub fn rank(&self, key: &[u8], value: &[u8]) -> Option<Rank> {
        let rest = key.strip_prefix(b"/")?;
        let end = rest.iter().position(|&each| each == b'/')?;
        let (namespace, name) = (&rest[..end], &rest[end + 1..]);
        match namespace {
            b"pk" => (PublicKey::try_decode_protobuf(value).ok()?.to_peer_id().to_bytes() == name).then(Rank::default),
            b"ipns" => ipns_rank(PeerId::from_bytes(name).ok()?, value),
            _ if self.numbered.iter().any(|each| each.as_bytes() == namespace) => Some((number(value)?, vec![], vec![])),
            _ => None,
        }
    }
}

fn number(value: &[u8]) -> Option<u64> {
    let end = value.iter().position(|&each| each == b' ')?;
    std::str::from_utf8(&value[..end]).ok()?.parse().ok()
}

/// Keeps valid records, the better one of each key. Of what it refuses, kad resets the stream, so that the sender knows.
pub struct Store {
    inner: MemoryStore,
    validators: Validators,
}

impl Store {
    pub fn new(peer: PeerId, validators: Validators) -> Self {
        Self { inner: MemoryStore::new(peer), validators }
    }
}

impl RecordStore for Store {
    type RecordsIter<'a> = <MemoryStore as RecordStore>::RecordsIter<'a>;
    type ProvidedIter<'a> = <MemoryStore as RecordStore>::ProvidedIter<'a>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        self.inner.get(key)
    }

    fn put(&mut self, record: Record) -> Result<()> {
        let rank = |record: &Record| self.validators.rank(record.key.as_ref(), &record.value);
        let (new, held) = (rank(&record), self.get(&record.key).and_then(|held| rank(&held)));
        if new.is_none() || new < held {
            return Err(Error::ValueTooLarge); // there is no error that would say it
        }
        self.inner.put(record)
    }

    fn remove(&mut self, key: &RecordKey) {
        self.inner.remove(key);
    }

    fn records(&self) -> Self::RecordsIter<'_> {
        self.inner.records()
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        self.inner.add_provider(record)
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        self.inner.providers(key)
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        self.inner.provided()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        self.inner.remove_provider(key, provider);
    }
}

/// A record of the owner's own: `pk`, or `ipns` for a path; its key and its value.
pub fn own(owner: &Keypair, namespace: &str, path: &str, sequence: u64) -> Outcome<(Vec<u8>, Vec<u8>)> {
    let value = match namespace {
        "pk" => owner.public().encode_protobuf(),
        "ipns" => ipns(owner, path, sequence)?,
        _ => return Err(Failure::bad_request(format!("no records of the namespace {namespace:?}"))),
    };
    let key = [format!("/{namespace}/").as_bytes(), &owner.public().to_peer_id().to_bytes()].concat();
    Ok((key, value))
}

fn ipns(owner: &Keypair, path: &str, sequence: u64) -> Outcome<Vec<u8>> {
    let end = date(SystemTime::now() + IPNS_LIFETIME);
    let entries = [
        ("TTL", cbor_head(UNSIGNED, IPNS_TTL)),
        ("Value", cbor_bytes(BYTES, path.as_bytes())),
        ("Sequence", cbor_head(UNSIGNED, sequence)),
        ("Validity", cbor_bytes(BYTES, end.as_bytes())),
        ("ValidityType", cbor_head(UNSIGNED, 0)),
    ];
    let mut data = cbor_head(MAP, entries.len() as u64);
    for (name, value) in &entries {
        data.extend(cbor_bytes(TEXT, name.as_bytes()));
        data.extend(value);
    }
    let signature = owner.sign(&[IPNS_DOMAIN, &data].concat()).map_err(|error| Failure::new("failed", error))?;
    let mut record = Vec::new();
    if inline_key(owner.public().to_peer_id()).is_none() {
        push_field(&mut record, IPNS_KEY, &owner.public().encode_protobuf());
    }
    push_field(&mut record, IPNS_SIGNATURE, &signature);
    push_field(&mut record, IPNS_DATA, &data);
    Ok(record)
}

/// The rank of a record that the owner of the name has signed and that is not over.
fn ipns_rank(name: PeerId, value: &[u8]) -> Option<Rank> {
    let fields = fields(value)?;
    let field = |number| fields.iter().rev().find(|(each, _)| *each == number).map(|(_, content)| *content);
    let (signature, data) = (field(IPNS_SIGNATURE)?, field(IPNS_DATA)?);
    let owner = match field(IPNS_KEY) {
        Some(key) => PublicKey::try_decode_protobuf(key).ok().filter(|key| key.to_peer_id() == name)?,
        None => inline_key(name)?,
    };
    if !owner.verify(&[IPNS_DOMAIN, data].concat(), signature) {
        return None;
    }
    let (sequence, end) = ipns_order(data)?;
    let now = date(SystemTime::now());
    (end.get(..now.len() - 1)? >= now.trim_end_matches('Z').as_bytes()).then(|| (sequence, end, value.to_vec()))
}

/// The key that small ones are the id of.
fn inline_key(peer: PeerId) -> Option<PublicKey> {
    const IDENTITY: u8 = 0; // of multihashes, in front of the length
    let bytes = peer.to_bytes();
    if bytes[0] == IDENTITY { PublicKey::try_decode_protobuf(&bytes[2..]).ok() } else { None }
}

/// The sequence number and the end of what is signed, which is a map of DAG-CBOR.
fn ipns_order(mut data: &[u8]) -> Option<(u64, Vec<u8>)> {
    let (mut sequence, mut end) = (None, None);
    let (MAP, entries) = take_head(&mut data)? else { return None };
    for _ in 0..entries {
        let (TEXT, length) = take_head(&mut data)? else { return None };
        let name = data.split_off(..usize::try_from(length).ok()?)?;
        let (kind, argument) = take_head(&mut data)?;
        let content = match kind {
            UNSIGNED => &[],
            BYTES | TEXT => data.split_off(..usize::try_from(argument).ok()?)?,
            _ => return None,
        };
        match name {
            b"Sequence" if kind == UNSIGNED => sequence = Some(argument),
            b"Validity" if kind == BYTES => end = Some(content.to_vec()),
            _ => {}
        }
    }
    Some((sequence?, end?))
}

const UNSIGNED: u8 = 0; // major types of CBOR
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const MAP: u8 = 5;

fn cbor_head(kind: u8, argument: u64) -> Vec<u8> {
    let (code, size) = match argument {
        0..24 => return vec![kind << 5 | argument as u8],
        24..0x100 => (24, 1),
        0x100..0x1_0000 => (25, 2),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _ => (27, 8),
    };
    [&[kind << 5 | code], &argument.to_be_bytes()[8 - size..]].concat()
}

fn cbor_bytes(kind: u8, content: &[u8]) -> Vec<u8> {
    [&cbor_head(kind, content.len() as u64), content].concat()
}

fn take_head(data: &mut &[u8]) -> Option<(u8, u64)> {
    let first = *data.split_off_first()?;
    let argument = match first & 0x1F {
        small @ 0..24 => u64::from(small),
        code @ 24..28 => data.split_off(..1 << (code - 24))?.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
        _ => return None,
    };
    Some((first >> 5, argument))
}

const LENGTH_DELIMITED: u64 = 2; // wire types of protobuf
const VARINT: u64 = 0;

fn push_field(to: &mut Vec<u8>, number: u64, content: &[u8]) {
    to.extend(wire::length(number << 3 | LENGTH_DELIMITED));
    to.extend(wire::length(content.len() as u64));
    to.extend(content);
}

/// The fields of a message that have a length.
fn fields(mut message: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let tag = wire::take_length(&mut message)?;
        match (tag & 7, wire::take_length(&mut message)?) {
            (VARINT, _) => {}
            (LENGTH_DELIMITED, length) => found.push((tag >> 3, message.split_off(..usize::try_from(length).ok()?)?)),
            _ => return None,
        }
    }
    Some(found)
}

/// RFC 3339, in whole seconds of UTC.
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the day of a leap year is the last one: 719,468 days before 1970, for the first of them.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, is_next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + is_next;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}
