//! Doors to what the query string of the status page says.

use super::listing::{Listing, MOST_QUEUES_LISTED, Sort};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How many queues at most.
    pub limit: usize,
    /// The most that may be asked for.
    pub most: usize,
    /// Its fields, printed.
    pub printed: String,
    /// The links to the same, sorted by each column.
    pub links: Vec<String>,
}

/// Reads a query string.
///
/// # Errors
/// With the sentence that the user sees.
pub fn listing(query: Option<&str>) -> Result<Asked, String> {
    let listing = Listing::parse(query)?;
    Ok(Asked {
        limit: listing.limit,
        most: MOST_QUEUES_LISTED,
        printed: format!("{:?}", (&listing.search, listing.show)),
        links: Sort::COLUMNS.map(|sort| listing.sorted_by(sort)).to_vec(),
    })
}
