//! A record without a type of its own.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::error::Error;

/// A record as the server sends it, with accessors. For types of your own see
/// [`Collection::typed`](super::Collection::typed).
///
/// ```
/// use picobase::Record;
/// let post: Record = serde_json::from_str(r#"{"id": "abc", "title": "hello", "views": 3, "tags": ["a"]}"#)?;
/// assert_eq!(post.id(), "abc");
/// assert_eq!(post.get_str("title"), Some("hello"));
/// assert_eq!(post.get_i64("views"), Some(3));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record {
    fields: Map<String, Value>,
}

impl Record {
    /// The record's id; empty where `fields` left it out.
    ///
    /// ```
    /// assert_eq!(picobase::Record::default().id(), "");
    /// ```
    pub fn id(&self) -> &str {
        self.get_str("id").unwrap_or_default()
    }

    /// The id of its collection.
    ///
    /// ```
    /// assert_eq!(picobase::Record::default().collection_id(), "");
    /// ```
    pub fn collection_id(&self) -> &str {
        self.get_str("collectionId").unwrap_or_default()
    }

    /// The name of its collection.
    ///
    /// ```
    /// assert_eq!(picobase::Record::default().collection_name(), "");
    /// ```
    pub fn collection_name(&self) -> &str {
        self.get_str("collectionName").unwrap_or_default()
    }

    /// Any field.
    ///
    /// ```
    /// assert!(picobase::Record::default().get("meta").is_none());
    /// ```
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// A text, e-mail, URL, date, select, file or relation field.
    ///
    /// ```
    /// assert_eq!(picobase::Record::default().get_str("title"), None);
    /// ```
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// A number field that holds a whole number.
    ///
    /// ```
    /// assert_eq!(picobase::Record::default().get_i64("views"), None);
    /// ```
    pub fn get_i64(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(Value::as_i64)
    }

    /// A number field.
    ///
    /// ```
    /// assert_eq!(picobase::Record::default().get_f64("price"), None);
    /// ```
    pub fn get_f64(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(Value::as_f64)
    }

    /// A bool field.
    ///
    /// ```
    /// assert_eq!(picobase::Record::default().get_bool("done"), None);
    /// ```
    pub fn get_bool(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(Value::as_bool)
    }

    /// The texts of a field with several values: select, files, relations. One value counts as a list of one.
    ///
    /// ```
    /// assert!(picobase::Record::default().get_list("tags").is_empty());
    /// ```
    pub fn get_list(&self, name: &str) -> Vec<&str> {
        match self.get(name) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) if !one.is_empty() => vec![one],
            _ => Vec::new(),
        }
    }

    /// The records that `expand` put in place of a relation; one counts as a list of one.
    ///
    /// ```
    /// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
    /// let post = client.collection("posts").get_one("abc").expand("author").await?;
    /// let author = post.expand("author").into_iter().next();
    /// # Ok(())
    /// # }
    /// ```
    pub fn expand(&self, relation: &str) -> Vec<Record> {
        let as_record = |value: &Value| value.as_object().map(|fields| Record { fields: fields.clone() });
        match self.get("expand").and_then(|expand| expand.get(relation)) {
            Some(Value::Array(items)) => items.iter().filter_map(as_record).collect(),
            Some(one) => as_record(one).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// The record as a type of your own.
    ///
    /// # Errors
    /// Kind `Decode` where it does not fit.
    ///
    /// ```
    /// #[derive(serde::Deserialize)]
    /// struct Post { id: String }
    /// let record: picobase::Record = serde_json::from_str(r#"{"id": "abc"}"#).unwrap_or_default();
    /// let post: Post = record.decode()?;
    /// assert_eq!(post.id, "abc");
    /// # Ok::<(), picobase::Error>(())
    /// ```
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_value(Value::Object(self.fields.clone()))
            .map_err(|e| Error::decode(&format!("the record does not fit: {e}"), ""))
    }

    /// All fields.
    ///
    /// ```
    /// assert!(picobase::Record::default().fields().is_empty());
    /// ```
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }
}

impl From<Map<String, Value>> for Record {
    fn from(fields: Map<String, Value>) -> Self {
        Record { fields }
    }
}
