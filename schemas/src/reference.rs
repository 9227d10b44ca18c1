//! Reference documents from the catalogue: pages for people, and an AsyncAPI document for tools. The same catalogue
//! always gives the same text, so that what is committed can be compared.

mod asyncapi;
mod page;
mod yaml;

use std::collections::BTreeMap;

use crate::catalogue::Catalogue;

/// Every document by its file name: one page per family, `README.md`, and `asyncapi.yaml`.
#[must_use]
pub fn documents(catalogue: &Catalogue) -> BTreeMap<String, String> {
    let mut documents: BTreeMap<String, String> =
        catalogue.families().map(|family| (page::file(family), page::family(catalogue, family))).collect();
    documents.insert("README.md".to_owned(), page::index(catalogue));
    documents.insert("asyncapi.yaml".to_owned(), yaml::write(&asyncapi::document(catalogue)));
    documents
}
