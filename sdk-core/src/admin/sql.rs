//! SQL.

use alloc::{string::String, vec::Vec};

use super::call_with;
use crate::{
    action::Action,
    call::decode,
    client::Client,
    endpoints,
    json::{Json, read_by_hand},
};

/// SQL, for superusers (server 0.39 and newer). See [`Client::sql`].
#[derive(Debug, Clone)]
pub struct Sql {
    client: Client,
}

/// The answer to [`Sql::run`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqlAnswer {
    /// How long it ran, in milliseconds.
    pub exec_time: i64,
    /// How many rows a statement that writes has written.
    pub affected_rows: i64,
    /// The columns of the rows; none for a statement that only writes.
    pub columns: Vec<SqlColumn>,
    /// The rows, at most 1,000; each cell as text, none for NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// One column of a [`SqlAnswer`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqlColumn {
    /// Its name, or its `AS` alias.
    pub name: String,
    /// Its declared type, `TEXT` for example; empty where the column is an expression.
    pub type_name: String,
    /// May it be NULL?
    pub nullable: bool,
}

impl SqlAnswer {
    fn read(json: &Json) -> Option<SqlAnswer> {
        let number = |name| json.get(name).and_then(|value| value.as_i64());
        let list = |name| json.get(name).map(|list| list.items()).unwrap_or_default();
        Some(SqlAnswer {
            exec_time: number("execTime")?,
            affected_rows: number("affectedRows")?,
            columns: list("columns").iter().map(SqlColumn::read).collect::<Option<_>>()?,
            rows: list("rows").iter().map(|row| row.items().iter().map(Json::as_str).collect()).collect(),
        })
    }
}

impl SqlColumn {
    fn read(json: &Json) -> Option<SqlColumn> {
        Some(SqlColumn {
            name: json.get_str("name")?,
            type_name: json.get_str("type").unwrap_or_default(),
            nullable: json.get("nullable").and_then(|value| value.as_bool()).unwrap_or(true),
        })
    }
}

read_by_hand!(SqlAnswer, |json| SqlAnswer::read(&json));

impl Sql {
    pub(crate) fn new(client: &Client) -> Self {
        Sql { client: client.clone() }
    }

    /// Runs SQL of at most 5,000 characters. The server takes no parameters, so nothing that a user typed belongs in
    /// it. Of several statements, separated by semicolons, it answers the last. It may take up to three minutes: give
    /// it a [`timeout`](Action::timeout) to match.
    ///
    /// # Errors
    /// Kind `Validation` where the statement is wrong.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let answer = client.sql().run("SELECT status, count(*) FROM posts GROUP BY status").await?;
    /// for row in &answer.rows {
    ///     println!("{row:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn run(&self, query: &str) -> Action<SqlAnswer> {
        let call = call_with(&endpoints::SQL, [("query", Json::string(query))]);
        Action::new(&self.client, call, decode::<SqlAnswer>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_server_answers() {
        let json = Json::parse(
            r#"{"execTime":529,"affectedRows":0,"columns":[{"name":"n","type":"","nullable":true},
            {"name":"id","type":"TEXT","nullable":false}],"rows":[["1500000",null],["",""]]}"#,
        )
        .unwrap();
        let answer = SqlAnswer::read(&json).unwrap();
        assert_eq!((answer.exec_time, answer.affected_rows), (529, 0));
        assert_eq!((answer.columns[1].type_name.as_str(), answer.columns[1].nullable), ("TEXT", false));
        assert_eq!(answer.rows, [[Some("1500000".into()), None], [Some("".into()), Some("".into())]]);
        assert!(SqlAnswer::read(&Json::parse("{}").unwrap()).is_none());
    }
}
