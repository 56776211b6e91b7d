//! Learning as it is defined: count all pairs, merge the most frequent one, of equals the lowest one, and count again.

use std::collections::BTreeMap;

/// Up to n merges of chunks and how often each occurs.
pub fn learn(chunks: &BTreeMap<Vec<u8>, u64>, n: usize) -> Vec<(u32, u32)> {
    let as_symbols = |(chunk, &count): (&Vec<u8>, &u64)| (chunk.iter().map(|&byte| u32::from(byte)).collect(), count);
    let mut lines: Vec<(Vec<u32>, u64)> = chunks.iter().map(as_symbols).collect();
    let mut merges = Vec::new();
    while merges.len() < n {
        let mut counts: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        for (line, count) in &lines {
            line.windows(2).for_each(|pair| *counts.entry((pair[0], pair[1])).or_default() += count);
        }
        let Some((_, pair)) =
            counts.into_iter().map(|(pair, count)| (count, std::cmp::Reverse(pair))).max().filter(|best| best.0 >= 2)
        else {
            break;
        };
        let made = 256 + merges.len() as u32;
        merges.push(pair.0);
        for (line, _) in &mut lines {
            replace(line, pair.0, made);
        }
    }
    merges
}

/// Put `made` wherever a pair stands, from left to right.
fn replace(line: &mut Vec<u32>, pair: (u32, u32), made: u32) {
    let mut at = 0;
    while at + 1 < line.len() {
        if (line[at], line[at + 1]) == pair {
            line[at] = made;
            line.remove(at + 1);
        }
        at += 1;
    }
}
