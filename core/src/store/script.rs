//! Several statements as one command, so that they cost one round trip.
//!
//! A command of several statements cannot be prepared, so the values stand in its text, in forms that nothing in a value
//! can break out of, whatever the server's settings: integers as digits, text as the hexadecimal digits of its UTF-8
//! bytes. A server stops at the first statement that fails.

use std::{borrow::Cow, fmt::Write as _, mem};

use futures_util::TryStreamExt;
use sqlx::{AnyConnection, AssertSqlSafe, Either, any::AnyRow};

use super::dialect::Dialect;

/// A command ends with the value that makes it so long; what follows is in the next. Servers take 4 MiB and more.
const MAX_COMMAND_BYTES: usize = 1 << 20;

/// What may stand for a `?`.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Integer(i64),
    Text(Cow<'a, str>),
    Null,
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Cow::Borrowed(value))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Cow::Owned(value))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Statements on their way to the database.
#[derive(Debug)]
pub(super) struct Script {
    dialect: Dialect,
    commands: Vec<String>,
    /// The command being written.
    text: String,
}

impl Script {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, commands: Vec::new(), text: String::new() }
    }

    /// Adds a statement, constant but for its values: one for each `?`, in order.
    pub(super) fn statement<'a>(&mut self, sql: &str, values: impl IntoIterator<Item = Value<'a>>) {
        self.separate();
        let mut values = values.into_iter();
        let mut parts = sql.split('?');
        self.text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            self.value(&values.next().unwrap_or(Value::Null));
            self.text.push_str(part);
        }
        debug_assert!(values.next().is_none(), "more values than places in {sql}");
    }

    /// Adds an INSERT of these rows, or several when they are long. `into` ends before `VALUES`.
    pub(super) fn insert<'a, const N: usize>(&mut self, into: &str, rows: impl IntoIterator<Item = [Value<'a>; N]>) {
        let mut first = true;
        for row in rows {
            if first || self.text.len() >= MAX_COMMAND_BYTES {
                self.separate();
                self.text.push_str(into);
                self.text.push_str(" VALUES ");
                first = false;
            } else {
                self.text.push(',');
            }
            for (index, value) in row.iter().enumerate() {
                self.text.push(if index == 0 { '(' } else { ',' });
                self.value(value);
            }
            self.text.push(')');
        }
    }

    fn separate(&mut self) {
        if self.text.len() >= MAX_COMMAND_BYTES {
            self.commands.push(mem::take(&mut self.text));
        }
        if !self.text.is_empty() {
            self.text.push(';');
        }
    }

    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => self.text.push_str("NULL"),
            // writing to a string cannot fail
            Value::Integer(value) => _ = write!(self.text, "{value}"),
            Value::Text(value) => {
                let (before, after) = self.dialect.hexadecimal_text();
                self.text.push_str(before);
                self.text.reserve(2 * value.len() + after.len());
                for byte in value.bytes() {
                    self.text.push(digit(byte >> 4));
                    self.text.push(digit(byte & 0xf));
                }
                self.text.push_str(after);
            }
        }
    }

    fn into_commands(mut self) -> Vec<String> {
        if !self.text.is_empty() {
            self.commands.push(self.text);
        }
        self.commands
    }

    pub(super) async fn execute(self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        for command in self.into_commands() {
            sqlx::raw_sql(AssertSqlSafe(command)).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// The rows of each statement, in order; none of one that has no result.
    pub(super) async fn fetch(self, connection: &mut AnyConnection) -> Result<Vec<Vec<AnyRow>>, sqlx::Error> {
        let mut results = Vec::new();
        for command in self.into_commands() {
            let mut answer = sqlx::raw_sql(AssertSqlSafe(command)).fetch_many(&mut *connection);
            let mut rows = Vec::new();
            while let Some(part) = answer.try_next().await? {
                match part {
                    Either::Right(row) => rows.push(row),
                    Either::Left(_) => results.push(mem::take(&mut rows)),
                }
            }
        }
        Ok(results)
    }
}

const fn digit(nibble: u8) -> char {
    (if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }) as char
}

#[cfg(test)]
mod tests {
    use chatcluster_testkit::{MariaDb, install};
    use sqlx::{Connection, Row};

    use super::*;

    const NASTY: [&str; 9] = ["", "'", "\\", "\\' OR 1=1; --", "\"`", "a\0b", "👩‍👩‍👧 ü\u{10ffff}", "?", "\r\n\u{1a}"];

    fn shown(script: Script) -> String {
        script.into_commands().join("\n")
    }

    #[test]
    fn values_are_digits_and_nothing_else() {
        let mut script = Script::new(Dialect::MySql);
        script.statement("UPDATE t SET a = ?, b = ? WHERE c = ?", [(-7).into(), "a'?\\".into(), Value::Null]);
        script.statement("COMMIT", []);
        assert_eq!(shown(script), "UPDATE t SET a = -7, b = _utf8mb4 X'61273F5C' WHERE c = NULL;COMMIT");
        let mut script = Script::new(Dialect::Sqlite);
        script.insert("INSERT INTO t (a, b)", [["".into(), 1.into()], [None::<&str>.into(), i64::MIN.into()]]);
        assert_eq!(shown(script), format!("INSERT INTO t (a, b) VALUES (CAST(X'' AS TEXT),1),(NULL,{})", i64::MIN));
    }

    #[test]
    fn long_commands_are_several() {
        let long = "x".repeat(MAX_COMMAND_BYTES / 3);
        let mut script = Script::new(Dialect::MySql);
        script.insert("INSERT INTO t (a)", (0..4).map(|_| [long.as_str().into()]));
        script.statement("COMMIT", []);
        let commands = script.into_commands();
        assert_eq!(commands.len(), 3);
        assert!(commands[..2].iter().all(|command| command.starts_with("INSERT INTO t (a) VALUES (")));
        assert!(commands.iter().all(|command| command.len() < 2 * MAX_COMMAND_BYTES));
        assert_eq!(commands[2], "COMMIT");
        assert!(Script::new(Dialect::MySql).into_commands().is_empty());
    }

    async fn what_goes_in_comes_out(dialect: Dialect, mut connection: AnyConnection) {
        let mut script = Script::new(dialect);
        script.statement("CREATE TABLE nasty (n BIGINT, t VARCHAR(200))", []);
        script.insert("INSERT INTO nasty (n, t)", (1..).zip(NASTY).map(|(n, text)| [Value::from(n), text.into()]));
        for (n, text) in (1..).zip(NASTY) {
            script.statement("SELECT n, t FROM nasty WHERE n = ? AND t = ?", [n.into(), text.into()]);
        }
        script.statement("SELECT n, t FROM nasty WHERE t = ? OR n = ?", [Value::Null, (-1).into()]);
        let results = script.fetch(&mut connection).await.unwrap();
        assert_eq!((results[0].len(), results[1].len(), results.len()), (0, 0, NASTY.len() + 3));
        for ((n, text), rows) in (1_i64..).zip(NASTY).zip(&results[2..]) {
            assert_eq!(rows.len(), 1, "{text:?}");
            assert_eq!((rows[0].get::<i64, _>("n"), rows[0].get::<String, _>("t").as_str()), (n, text));
        }
        assert!(results[NASTY.len() + 2].is_empty());

        // the second statement fails: the third is not run, and the connection goes on
        let mut script = Script::new(dialect);
        script.statement(dialect.begin(), []);
        script.insert("INSERT INTO nasty (n, t)", [[Value::from(99), "first".into()]]);
        script.insert("INSERT INTO nowhere (n)", [[Value::from(1)]]);
        script.statement("COMMIT", []);
        assert!(script.execute(&mut connection).await.is_err());
        let mut script = Script::new(dialect);
        script.statement("ROLLBACK", []);
        script.statement("SELECT n FROM nasty WHERE n = ?", [99.into()]);
        assert!(script.fetch(&mut connection).await.unwrap()[1].is_empty());
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_of_sqlite() {
        sqlx::any::install_default_drivers();
        what_goes_in_comes_out(Dialect::Sqlite, AnyConnection::connect("sqlite::memory:").await.unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_goes_in_comes_out_of_mariadb_and_its_indexes_are_used() {
        sqlx::any::install_default_drivers();
        let server = MariaDb::start(&install::ready(install::quiet).await.unwrap()).await.unwrap();
        let mut connection = AnyConnection::connect(&server.url()).await.unwrap();
        Dialect::MySql.migrator().run(&mut connection).await.unwrap();
        sqlx::raw_sql(
            "INSERT INTO conversations (id, workspace_id, kind, creator_id, created_at) \
             SELECT CONCAT('c', seq), 'w', 'group', 'u', 0 FROM seq_1_to_2000; \
             INSERT INTO messages (id, conversation_id, seq, sender_id, client_msg_id, content, created_at) \
             SELECT CONCAT('m', seq), 'c1', seq, CONCAT('u', seq), 'n', '', 0 FROM seq_1_to_2000",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        let mut script = Script::new(Dialect::MySql);
        script.statement(
            "EXPLAIN SELECT last_seq FROM conversations WHERE id IN (?,?) ORDER BY id FOR UPDATE",
            ["c7".into(), "c8".into()],
        );
        script.statement(
            "EXPLAIN SELECT id FROM messages WHERE (sender_id = ? AND client_msg_id = ?) OR (sender_id = ? AND client_msg_id = ?)",
            ["u1".into(), "n".into(), "u2".into(), "n".into()],
        );
        let plans = script.fetch(&mut connection).await.unwrap();
        for (plan, index) in plans.iter().zip(["PRIMARY", "messages_client_msg_id"]) {
            assert_eq!(
                (plan[0].get::<String, _>("type"), plan[0].get::<String, _>("key")),
                ("range".into(), index.into())
            );
        }
        // even where backslashes are plain and double quotes are names
        sqlx::raw_sql("SET SESSION sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'").execute(&mut connection).await.unwrap();
        what_goes_in_comes_out(Dialect::MySql, connection).await;
    }
}
