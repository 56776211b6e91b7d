//! Merging as it is defined: look for the merge of the lowest rank, of equals for the leftmost one, and begin again.

use std::collections::HashMap;

/// (a, b) → the rank of their merge, and the id that it makes.
pub type Table = HashMap<(u32, u32), (u32, u32)>;

/// Of merges by rank; of a pair that is there twice the first counts.
pub fn table_of_merges(merges: &[[u32; 3]]) -> Table {
    let mut table = Table::new();
    for (rank, &[a, b, made]) in merges.iter().enumerate() {
        table.entry((a, b)).or_insert((rank as u32, made));
    }
    table
}

/// Of a vocabulary alone: any two tokens that spell a third make it, the lowest id first.
pub fn table_of_ids(tokens: &[Vec<u8>]) -> Table {
    let ids = ids_of(tokens);
    let mut table = Table::new();
    for (id, token) in tokens.iter().enumerate() {
        for cut in 1..token.len() {
            if let (Some(&a), Some(&b)) = (ids.get(&token[..cut]), ids.get(&token[cut..])) {
                table.entry((a, b)).or_insert((id as u32, id as u32));
            }
        }
    }
    table
}

/// The lowest id of everything that a token spells.
pub fn ids_of(tokens: &[Vec<u8>]) -> HashMap<&[u8], u32> {
    let mut ids = HashMap::new();
    for (id, token) in tokens.iter().enumerate().filter(|(_, token)| !token.is_empty()) {
        ids.entry(token.as_slice()).or_insert(id as u32);
    }
    ids
}

/// What merging makes of the ids of a chunk's bytes.
pub fn merge(mut ids: Vec<u32>, table: &Table) -> Vec<u32> {
    loop {
        let found = ids.windows(2).enumerate().filter_map(|(place, pair)| {
            let &(rank, made) = table.get(&(pair[0], pair[1]))?;
            Some((rank, place, made))
        });
        let Some((_, place, made)) = found.min() else { return ids };
        ids[place] = made;
        ids.remove(place + 1);
    }
}
