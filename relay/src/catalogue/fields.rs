//! Reading columns into the types of the catalogue, and numbers into columns.

use super::dialect::Row;
use super::error::CatalogueError;

/// The columns of one row. What does not fit names its table and column.
pub(super) struct Fields<'r> {
    table: &'static str,
    row: &'r Row,
}

impl<'r> Fields<'r> {
    pub(super) fn new(table: &'static str, row: &'r Row) -> Self {
        Self { table, row }
    }

    pub(super) fn corrupt(&self, column: &'static str) -> CatalogueError {
        CatalogueError::Corrupt { table: self.table, column }
    }

    pub(super) fn int(&self, column: &'static str) -> Result<i64, CatalogueError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    pub(super) fn int_opt(&self, column: &'static str) -> Result<Option<i64>, CatalogueError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    /// A number that is never negative.
    pub(super) fn number<T: TryFrom<i64>>(
        &self,
        column: &'static str,
    ) -> Result<T, CatalogueError> {
        self.int(column)?.try_into().map_err(|_| self.corrupt(column))
    }

    pub(super) fn number_opt<T: TryFrom<i64>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, CatalogueError> {
        let value = self.int_opt(column)?;
        value.map(T::try_from).transpose().map_err(|_| self.corrupt(column))
    }

    pub(super) fn flag(&self, column: &'static str) -> Result<bool, CatalogueError> {
        Ok(self.int(column)? != 0)
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String, CatalogueError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    pub(super) fn text_opt(&self, column: &'static str) -> Result<Option<String>, CatalogueError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    /// A name or path, parsed again.
    pub(super) fn name<T: TryFrom<String>>(
        &self,
        column: &'static str,
    ) -> Result<T, CatalogueError> {
        self.text(column)?.try_into().map_err(|_| self.corrupt(column))
    }

    pub(super) fn bytes_opt(
        &self,
        column: &'static str,
    ) -> Result<Option<Vec<u8>>, CatalogueError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    pub(super) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, CatalogueError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    pub(super) fn array<const N: usize>(
        &self,
        column: &'static str,
    ) -> Result<[u8; N], CatalogueError> {
        self.bytes(column)?.try_into().map_err(|_| self.corrupt(column))
    }

    pub(super) fn array_opt<const N: usize>(
        &self,
        column: &'static str,
    ) -> Result<Option<[u8; N]>, CatalogueError> {
        let bytes = self.bytes_opt(column)?;
        bytes.map(TryInto::try_into).transpose().map_err(|_| self.corrupt(column))
    }
}

/// A count or size as a column holds it.
///
/// # Errors
///
/// More than 2^63 - 1.
pub(super) fn big(value: u64) -> Result<i64, CatalogueError> {
    i64::try_from(value).map_err(|_| CatalogueError::TooLarge { value })
}
