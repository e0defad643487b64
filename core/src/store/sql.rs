//! Building statements with a variable number of values, and reading typed values from rows.

use std::str::FromStr;

use chatcluster_contracts::seq::Seq;
use jiff::Timestamp;
use sqlx::{Any, AssertSqlSafe, Row, any::AnyArguments, any::AnyRow, query::Query};

/// A statement built here from constants and placeholders; values are always bound.
pub(super) fn query<'q>(sql: String) -> Query<'q, Any, AnyArguments> {
    sqlx::query(AssertSqlSafe(sql))
}

/// `unit` `count` times with `separator` between.
pub(super) fn repeat(unit: &str, count: usize, separator: &str) -> String {
    let mut out = String::with_capacity(count * (unit.len() + separator.len()));
    for i in 0..count {
        if i > 0 {
            out.push_str(separator);
        }
        out.push_str(unit);
    }
    out
}

/// The values, the last one repeated up to the next power of two: in an IN list that changes nothing, and keeps the
/// number of different prepared statements small.
pub(super) fn padded<T>(values: &[T]) -> impl Iterator<Item = &T> {
    let wanted = if values.is_empty() { 0 } else { values.len().next_power_of_two() };
    values.iter().chain(std::iter::repeat_n(values.last(), wanted - values.len()).flatten())
}

/// How many values [`padded`] yields.
pub(super) fn padded_len(len: usize) -> usize {
    if len == 0 { 0 } else { len.next_power_of_two() }
}

pub(super) fn text(row: &AnyRow, column: &str) -> Result<String, sqlx::Error> {
    row.try_get(column)
}

pub(super) fn optional_text(row: &AnyRow, column: &str) -> Result<Option<String>, sqlx::Error> {
    row.try_get(column)
}

/// An id, checked again on its way in: the table may have been edited by hand.
pub(super) fn id<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &AnyRow,
    column: &str,
) -> Result<T, sqlx::Error> {
    text(row, column)?.parse().map_err(|error: T::Err| decode(column, error))
}

pub(super) fn optional_id<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &AnyRow,
    column: &str,
) -> Result<Option<T>, sqlx::Error> {
    let text = optional_text(row, column)?;
    text.map(|text| text.parse().map_err(|error: T::Err| decode(column, error))).transpose()
}

pub(super) fn integer(row: &AnyRow, column: &str) -> Result<i64, sqlx::Error> {
    row.try_get(column)
}

pub(super) fn seq(row: &AnyRow, column: &str) -> Result<Seq, sqlx::Error> {
    integer(row, column).map(|value| Seq::new(value.unsigned_abs()))
}

pub(super) fn time(row: &AnyRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_millisecond(integer(row, column)?).map_err(|error| decode(column, error))
}

/// A seq as the database keeps it. 2^63 events do not happen.
pub(super) fn signed(seq: Seq) -> i64 {
    i64::try_from(seq.get()).unwrap_or(i64::MAX)
}

fn decode(column: &str, error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_padded_with_their_last_value() {
        assert_eq!(padded(&[1, 2, 3]).copied().collect::<Vec<_>>(), [1, 2, 3, 3]);
        assert_eq!(padded(&[1]).count(), 1);
        assert_eq!(padded::<i32>(&[]).count(), 0);
        assert_eq!(repeat("?", 3, ","), "?,?,?");
    }
}
