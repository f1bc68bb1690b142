//! A receipt as a JSON file: what was signed, and the same facts for people and programs.

use super::key::{from_hex, to_hex};
use super::{ReceiptError, VERSION};
use crate::output::utc_text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use skyspray_wire::receipt::{Receipt, SignedReceipt};
use std::fmt;

/// What a receipt attests, for people and programs; its text has a line for each fact.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    job: String,
    wuid: String,
    agent: String,
    plane: String,
    target: String,
    generation: Option<u64>,
    parts: u32,
    bytes: u64,
    content: String,
    committed_ms: i64,
    committed: String,
}

impl From<&Receipt> for Facts {
    fn from(receipt: &Receipt) -> Self {
        Self {
            job: receipt.job.to_string(),
            wuid: receipt.wuid.clone(),
            agent: receipt.agent.to_string(),
            plane: receipt.plane.to_string(),
            target: receipt.target.clone(),
            generation: receipt.generation.map(|generation| generation.0),
            parts: receipt.parts,
            bytes: receipt.bytes,
            content: receipt.content.to_string(),
            committed_ms: receipt.committed_ms,
            committed: utc_text(receipt.committed_ms),
        }
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  target:     {}:{}", self.plane, self.target)?;
        if let Some(generation) = self.generation {
            writeln!(f, "  generation: {generation}")?;
        }
        writeln!(f, "  parts:      {}", self.parts)?;
        writeln!(f, "  bytes:      {}", self.bytes)?;
        writeln!(f, "  content:    {}", self.content)?;
        writeln!(f, "  committed:  {}", self.committed)?;
        writeln!(f, "  sent by:    {}", self.agent)?;
        write!(f, "  job:        {} ({})", self.job, self.wuid)
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptFile {
    schema: u16,
    attests: Facts,
    /// Postcard of [`Receipt`], base64.
    signed: String,
    key_id: String,
    /// Ed25519, base64.
    signature: String,
}

impl ReceiptFile {
    pub(super) fn new(receipt: &Receipt, signed: &SignedReceipt) -> Self {
        Self {
            schema: VERSION,
            attests: receipt.into(),
            signed: STANDARD.encode(&signed.receipt),
            key_id: to_hex(&signed.key_id),
            signature: STANDARD.encode(&signed.signature),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, ReceiptError> {
        let file: Self =
            serde_json::from_str(text).map_err(|source| ReceiptError::NotReceipt { source })?;
        match file.schema {
            VERSION => Ok(file),
            found => Err(ReceiptError::Version { found }),
        }
    }

    pub(super) fn render(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain data has a JSON form");
        text.push('\n');
        text
    }

    pub(super) fn to_signed(&self) -> Result<SignedReceipt, ReceiptError> {
        let base64 = |field, text: &str| {
            STANDARD.decode(text).map_err(|_| ReceiptError::Field { field, expected: "base64" })
        };
        let key_id = from_hex(&self.key_id).and_then(|bytes| bytes.try_into().ok());
        Ok(SignedReceipt {
            receipt: base64("signed", &self.signed)?,
            key_id: key_id.ok_or(ReceiptError::Field {
                field: "key_id",
                expected: "16 hexadecimal digits",
            })?,
            signature: base64("signature", &self.signature)?,
        })
    }

    /// Compares every readable field with what was signed.
    pub(super) fn agrees_with(&self, receipt: &Receipt) -> Result<(), ReceiptError> {
        let fields = |facts: &Facts| match serde_json::to_value(facts) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => unreachable!("plain data with named fields is a JSON object"),
        };
        let signed = fields(&receipt.into());
        let differs = |(field, value): &(String, serde_json::Value)| signed[field] != *value;
        match fields(&self.attests).into_iter().find(differs) {
            None => Ok(()),
            Some((field, found)) => Err(ReceiptError::FieldDiffers {
                found: found.to_string(),
                signed: signed[&field].to_string(),
                field,
            }),
        }
    }
}
