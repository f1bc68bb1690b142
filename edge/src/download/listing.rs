//! Long lists from a relay, a batch at a time.

use super::fault::DownloadFault;
use super::link::Link;
use skyspray_wire::message::{Entry, List, ListWhat, Reply, Request};
use skyspray_wire::name::PlaneName;

/// Entries asked for at once: what is kept in memory of a list of any length.
const BATCH: u32 = 4096;

/// A list that is read on as it is needed. Entries come sorted by name.
#[derive(Debug)]
pub(crate) struct Listing {
    plane: PlaneName,
    what: ListWhat,
    after: String,
    /// Entries still wanted, where there is a limit.
    left: Option<u32>,
    ended: bool,
}

impl Listing {
    /// The list of `what` on `plane`, at most `limit` entries of it.
    pub(crate) fn new(plane: PlaneName, what: ListWhat, limit: Option<u32>) -> Self {
        Self { plane, what, after: String::new(), left: limit, ended: limit == Some(0) }
    }

    /// Whether there are no more entries.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next entries; none at the end.
    ///
    /// # Errors
    ///
    /// The relay refuses, or no session is to be had.
    pub(crate) async fn next_batch(
        &mut self,
        link: &mut Link<'_>,
    ) -> Result<Vec<Entry>, DownloadFault> {
        loop {
            if self.ended {
                return Ok(Vec::new());
            }
            match self.ask(link).await {
                Err(fault) if fault.is_passing() => link.give_up(fault).await,
                Err(fault) => return Err(fault),
                Ok(batch) => {
                    link.progressed();
                    return Ok(batch);
                }
            }
        }
    }

    async fn ask(&mut self, link: &mut Link<'_>) -> Result<Vec<Entry>, DownloadFault> {
        let limit = self.left.map_or(BATCH, |left| left.min(BATCH));
        let (plane, what, after) = (self.plane.clone(), self.what.clone(), self.after.clone());
        let request = Request::List(List { plane, what, after, limit });
        let (_, mut answer) = link.ask(&request).await?;
        let mut batch = Vec::new();
        loop {
            match answer.reply().await? {
                Reply::Entries(page) => batch.extend(page),
                Reply::Done => break,
                _ => return Err(DownloadFault::Unexpected { what: "a list" }),
            }
            if batch.len() > limit as usize {
                return Err(DownloadFault::Unexpected { what: "a list" });
            }
        }
        self.took(&batch, limit)?;
        Ok(batch)
    }

    fn took(&mut self, batch: &[Entry], limit: u32) -> Result<(), DownloadFault> {
        let count = u32::try_from(batch.len()).expect("at most the limit");
        self.left = self.left.map(|left| left - count);
        self.ended = count < limit || self.left == Some(0);
        if let Some(last) = batch.last() {
            // A relay that does not move on would be asked for ever.
            if !self.ended && last.name <= self.after {
                return Err(DownloadFault::Unexpected { what: "a list" });
            }
            self.after = last.name.clone();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyspray_wire::message::EntryKind;
    use skyspray_wire::name::Scope;

    fn entry(name: &str) -> Entry {
        let kind = EntryKind::LogicalFile;
        Entry { kind, name: name.into(), bytes: 0, parts: 1, committed_ms: 0 }
    }

    fn listing(limit: Option<u32>) -> Listing {
        let plane = PlaneName::parse("lake").unwrap();
        Listing::new(plane, ListWhat::Logical(Scope::default()), limit)
    }

    #[test]
    fn a_list_ends_with_a_batch_that_is_not_full_or_at_its_limit() {
        let mut all = listing(None);
        all.took(&[entry("a"), entry("b")], 2).unwrap();
        assert_eq!((all.ended, &*all.after), (false, "b"));
        all.took(&[entry("c")], 2).unwrap();
        assert!(all.ended);

        let mut three = listing(Some(3));
        three.took(&[entry("a"), entry("b")], 2).unwrap();
        assert_eq!((three.ended, three.left), (false, Some(1)));
        three.took(&[entry("c")], 1).unwrap();
        assert!(three.ended);
    }

    #[test]
    fn a_relay_that_repeats_itself_is_not_asked_for_ever() {
        let mut all = listing(None);
        all.took(&[entry("a"), entry("b")], 2).unwrap();

        let again = all.took(&[entry("a"), entry("b")], 2).unwrap_err();
        assert_eq!(again.to_string(), "the relay's answer about a list is not one to this request");
    }
}
