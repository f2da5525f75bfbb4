//! The peer: reqwest and serde with nothing between, as one would write it by hand.

use anyhow::Result;
use serde::de::DeserializeOwned;

use crate::stage::Item;

/// How many records a page of a full list has, in every client of PocketBase.
const PAGE: usize = 1000;

/// A server's records, by reqwest.
#[derive(Clone)]
pub(crate) struct Bare {
    http: reqwest::Client,
    base: String,
}

/// What is used of a page.
#[derive(serde::Deserialize)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
}

impl Bare {
    pub(crate) fn new(base: &str) -> Self {
        Self { http: reqwest::Client::new(), base: base.to_owned() }
    }

    async fn get<T: DeserializeOwned>(&self, url: String) -> Result<T> {
        Ok(self.http.get(url).send().await?.error_for_status()?.json().await?)
    }

    pub(crate) async fn get_one(&self, id: &str) -> Result<Item> {
        self.get(format!("{}/api/collections/bulk/records/{id}", self.base)).await
    }

    pub(crate) async fn get_list(&self, page: usize, size: usize) -> Result<Vec<Item>> {
        let url = format!("{}/api/collections/bulk/records?page={page}&perPage={size}&skipTotal=true", self.base);
        Ok(self.get::<Page>(url).await?.items)
    }

    /// Page after page until one is not full.
    pub(crate) async fn get_full_list(&self) -> Result<Vec<Item>> {
        let mut all = Vec::new();
        for page in 1.. {
            let items = self.get_list(page, PAGE).await?;
            let full = items.len() == PAGE;
            all.extend(items);
            if !full {
                break;
            }
        }
        Ok(all)
    }
}
