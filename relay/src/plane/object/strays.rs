//! Uploads that a bucket holds open for one key: the one thing the client crate cannot ask for.

use super::bucket::{Ask, Bucket, UploadId};
use super::error::{BucketAction, BucketError};
use super::signed::{AnswerFault, Question, encoded, failed};
use crate::config::ObjectKind;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use reqwest::Method;

impl Bucket {
    /// The uploads to exactly `key` that the store holds open, whoever began them. Always empty on
    /// Azure, whose uploads have no names.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(in crate::plane) async fn open_uploads(
        &self,
        key: &str,
    ) -> Result<Vec<UploadId>, BucketError> {
        let inner = &self.inner;
        if inner.kind == ObjectKind::Azure {
            return Ok(Vec::new());
        }
        // Keys that begin with this one follow it, so the first page holds all of its uploads.
        let bucket = inner.signed.bucket();
        let url = format!("{bucket}?max-uploads=1000&prefix={}&uploads=", encoded(key));
        let question = Question { method: Method::GET, url, headers: Vec::new() };
        let ask = || async {
            let said = inner.signed.ask(&inner.store, &question).await?;
            parse(&said.text, key).ok_or_else(|| failed(AnswerFault::Form))
        };
        self.run(Ask::of(BucketAction::List, key), ask).await
    }
}

/// The uploads of `key` in a `ListMultipartUploadsResult`; `None` for anything else.
fn parse(text: &str, key: &str) -> Option<Vec<UploadId>> {
    let mut reader = Reader::from_str(text);
    let mut list = List::default();
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => list.enter(start.local_name().as_ref()),
            Event::Text(text) => list.text(&text),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(character) => list.text(character.encode_utf8(&mut [0; 4])),
                None => list.text(resolve_predefined_entity(&reference)?),
            },
            Event::End(_) => list.leave(key),
            Event::Eof => return list.is_one.then_some(list.uploads),
            _ => {}
        }
    }
}

/// A list of uploads while it is read.
#[derive(Debug, Default)]
struct List {
    is_one: bool,
    /// Elements around the next text.
    path: Vec<String>,
    key: String,
    id: String,
    uploads: Vec<UploadId>,
}

impl List {
    fn enter(&mut self, name: &str) {
        self.is_one |= self.path.is_empty() && name == "ListMultipartUploadsResult";
        if name == "Upload" {
            self.key.clear();
            self.id.clear();
        }
        self.path.push(name.to_owned());
    }

    fn text(&mut self, text: &str) {
        let mut innermost = self.path.iter().rev().map(String::as_str);
        match (innermost.next(), innermost.next()) {
            (Some("Key"), Some("Upload")) => self.key.push_str(text),
            (Some("UploadId"), Some("Upload")) => self.id.push_str(text),
            _ => {}
        }
    }

    fn leave(&mut self, key: &str) {
        if self.path.pop().as_deref() == Some("Upload") && self.key == key {
            self.uploads.push(UploadId(self.id.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_uploads_of_the_key_itself_are_taken_from_a_list() {
        let list = r#"<?xml version="1.0"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>b</Bucket><Prefix>a&amp;b</Prefix><IsTruncated>false</IsTruncated>
              <Upload><Key>a&amp;b</Key><UploadId>one</UploadId><Owner><ID>x</ID></Owner></Upload>
              <Upload><UploadId>tw&#111;</UploadId><Key>a&#38;b</Key></Upload>
              <Upload><Key>a&amp;bc</Key><UploadId>other</UploadId></Upload>
            </ListMultipartUploadsResult>"#;

        let found = parse(list, "a&b").unwrap();

        assert_eq!(found, [UploadId("one".into()), UploadId("two".into())]);
        assert_eq!(parse(list, "z"), Some(Vec::new()));
        assert_eq!(parse("<Error><Code>NoSuchBucket</Code></Error>", "a&b"), None);
        assert_eq!(parse("not xml <", "a&b"), None);
    }
}
